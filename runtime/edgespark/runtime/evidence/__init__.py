"""What `edgespark verify` measured, as JSON, as lines, as Markdown and as a picture."""
