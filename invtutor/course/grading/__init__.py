"""A class's notebooks and their marks: `submissions`, `asking`, `marks`, and the `command`."""
