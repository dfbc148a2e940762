"""Pictures, pairs of pictures and clips of video, as CLIP-like encoders take them."""
