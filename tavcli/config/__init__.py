"""The user's settings, and the files that hold them."""
