"""Data that is read from disk for the screens: snapshots of a workspace, the library, estimates, thumbnails."""
