"""The models in plain PyTorch, each stage of the chain a module of its own."""
