"""What can be made, and how: stages and videos, with what they share."""
