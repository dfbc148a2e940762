"""Point clouds: read from files, sampled farthest-first, grouped with their neighbours."""
