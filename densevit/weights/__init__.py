"""Weights: official checkpoint names and ours, and the zoo of trained models."""
from .load_report import LoadReport, WeightsError, WeightsNotFoundError
from .loading import load_weights
from .openmmlab import safe_reading
from .reading import read_checkpoint, read_state_dict, read_weights
from .zoo import ZooEntry, entry, find_weights, model_card, names

__all__ = [
    'LoadReport', 'WeightsError', 'WeightsNotFoundError', 'ZooEntry', 'entry', 'find_weights',
    'load_weights', 'model_card', 'names', 'read_checkpoint', 'read_state_dict', 'read_weights', 'safe_reading'
]
