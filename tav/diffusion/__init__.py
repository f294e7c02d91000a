"""Diffusion: the noise schedule, DDIM's steps, latents as small pictures."""
