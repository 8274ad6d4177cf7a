"""What a lesson needs, what runs one, and what becomes of them."""
