"""The synthetic world that the small model learns: scenes, notes, questions."""
