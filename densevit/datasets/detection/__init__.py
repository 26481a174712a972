"""Transforms of images with boxes."""
