"""Datasets, degradations and transforms of image restoration."""
