"""What leaves a workspace: videos, the gallery, the loss curve, weights."""
