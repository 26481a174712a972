"""Weights: official checkpoint names and ours, and the zoo of trained models."""
from . import plugin
from .loading import load_weights

__all__ = ['load_weights', 'plugin']
