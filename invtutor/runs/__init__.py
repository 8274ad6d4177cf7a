"""A run: its recipe, its assembly, its loop, and what it leaves."""
