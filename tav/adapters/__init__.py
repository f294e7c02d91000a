"""What is learned on top of a base, as files that the base can take."""
