"""What a person has set, and where it lies."""
