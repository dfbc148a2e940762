"""Checkpoints of others: mapped into memory, checked strictly, or converted to safetensors."""
