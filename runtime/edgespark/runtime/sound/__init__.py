"""Sound: recordings in memory and in files, as log-mel energies."""
