"""Numbers that say how close or how good a video is."""
