"""Floor 2: what is measured on data: sample sets, and how far a graph is from its reference."""
