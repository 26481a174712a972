"""Images with opacities: files, trimaps, and pictures that are composed while they are learned from."""
