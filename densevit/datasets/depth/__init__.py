"""Data of depth: images with a map of metres each."""
