"""Diffusion: the noise schedule, guidance, the denoising loop, DDIM's steps, latents as small pictures."""
