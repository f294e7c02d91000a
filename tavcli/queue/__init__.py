"""Jobs on disk: their folders, the index over them, batches, who works, how long it takes."""
