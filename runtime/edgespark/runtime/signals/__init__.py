"""Signals without a picture: readings of motion, and of brain activity."""
