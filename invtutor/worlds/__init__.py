"""What is learned from, and what is measured there."""
