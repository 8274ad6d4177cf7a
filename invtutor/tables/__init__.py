"""The papers' tables, and what fills them."""
