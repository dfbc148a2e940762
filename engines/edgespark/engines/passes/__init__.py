"""Graph passes, one a file: each tells what it needs, what it gives, and changes a copy."""
