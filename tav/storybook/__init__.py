"""The embedded base: a drawn world with exact ground truth, and the small Stable Diffusion trained on it."""
