"""The layers that make a 2-D UNet a video network (method: Tune-A-Video, arXiv 2212.11565, section 4)."""
