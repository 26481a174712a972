"""Loading checkpoints into models."""
from __future__ import annotations


def load_weights(model, source):
    raise NotImplementedError
