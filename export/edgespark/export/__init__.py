"""Floor 4: from PyTorch models to bundles."""
