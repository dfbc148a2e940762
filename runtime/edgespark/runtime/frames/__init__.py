"""Video: clips in memory and files, as frames spread evenly."""
