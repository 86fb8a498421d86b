"""What a wait is, and how it is judged."""
