"""What is read from disk to be shown: snapshots of a workspace, the library, estimates, thumbnails."""
