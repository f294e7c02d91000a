"""The folder of one clip: its settings in force, stages, edits and locks."""
