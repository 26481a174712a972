"""Weights of the classes in a cross-entropy, as a config gives them, and the mean that they make."""
from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def weights_of_classes(weights: Sequence[float], num_classes: int, option: str, no_object: bool) -> Tensor:
    """Weights of classes as a tensor (C,) or, with "no object" at the end, (C + 1,).

    Args:
        weights: One number for each class, in their order.
        num_classes: C.
        option: The option that holds them.
        no_object: Whether there is a weight for "no object".

    Raises:
        ValueError: They are not as many, or not numbers from 0 on of which some are above 0.
    """
    try:
        tensor = torch.as_tensor(weights, dtype=torch.float)
    except (TypeError, ValueError):  # words, or lists of several lengths
        tensor = torch.empty(0, 0)
    count = num_classes + no_object
    if tensor.shape != (count, ):
        given = f'{len(tensor)} of them' if tensor.ndim == 1 else repr(weights)
        raise ValueError(f'criterion.{option} holds {count} weights, one for each of the {num_classes} classes'
                         + (" and, as the last, that of 'no object'" if no_object else '') + f', not {given}')
    values = [float(weight) for weight in weights]  # not of the tensor, which may be on the meta device
    if not all(math.isfinite(value) and value >= 0 for value in values) or not any(values):
        raise ValueError(f'criterion.{option} holds weights of 0 or more, and not only of 0: {list(weights)}')
    return tensor


def check_loss_weight(weight: float) -> None:
    """See that the weight of the class loss is a number.

    Raises:
        ValueError: It is a list, as mmdetection's ``class_weight``.
    """
    if not isinstance(weight, int | float):
        raise ValueError('criterion.class_weight is one number, the weight of the class loss: give the weights of the '
                         'classes as criterion.class_weights')


def per_weight(total: Tensor, weight: Tensor | int) -> Tensor:
    """A sum of losses by the weight of what was summed; 0, not NaN, where nothing has a weight."""
    if isinstance(weight, int):
        return total / max(weight, 1)
    return total / torch.where(weight > 0, weight, 1.)
