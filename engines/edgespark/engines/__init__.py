"""Floor 3: graphs as files: checked, simplified, described, and later built into engines."""
