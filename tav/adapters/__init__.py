"""Files of weights that were learned on top of a base."""
