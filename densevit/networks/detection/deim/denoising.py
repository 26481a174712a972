"""Contrastive denoising: DINO (arXiv:2203.03605), section 3.3. Queries made of noised objects learn to restore them."""
from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ....layers.boxes import to_centres, to_corners
from ..set_loss import BoxTarget


class Noise(NamedTuple):
    """G groups of 2 * M queries, M being the most objects of an image of the batch, 1 at least.

    Attributes:
        labels: (B, G, 2 * M); the number of classes where an image has fewer objects.
        boxes: (B, G, 2 * M, 4): centre, width and height in [0, 1].
    """
    labels: Tensor
    boxes: Tensor


def add_noise(
    targets: Sequence[BoxTarget],
    num_classes: int,
    num_queries: int,
    label_noise: float,
    box_noise: float,
) -> Noise:
    """Noised objects: in each group once with edges moved by less than half a side, once by more.

    Args:
        targets: One for each image.
        num_classes: The number of classes C.
        num_queries: About how many pairs of queries there are, over all groups; one group at least is made.
        label_noise: Twice the share of labels that are drawn anew.
        box_noise: The most that an edge of the first M moves, in half sides; those of the others move by up to twice
            as much.
    """
    most = max(1, *(len(target.labels) for target in targets))
    groups = max(1, num_queries // most)
    device = targets[0].boxes.device
    labels = torch.full((len(targets), most), num_classes, device=device)
    boxes = torch.zeros(len(targets), most, 4, device=device)
    for image, target in enumerate(targets):
        labels[image, :len(target.labels)] = target.labels
        boxes[image, :len(target.labels)] = target.boxes.float()
    labels, boxes = (x.repeat(1, 2 * groups, *[1] * (x.ndim - 2)) for x in (labels, boxes))
    drawn = torch.rand(labels.shape, device=device) < .5 * label_noise
    others = torch.randint(num_classes, labels.shape, device=device)
    labels = torch.where(drawn & (labels < num_classes), others, labels).unflatten(1, (groups, -1))
    signs = torch.randint(2, boxes.shape, device=device) * 2. - 1.
    shares = torch.rand(boxes.shape, device=device).unflatten(1, (groups, 2, most))
    shares[:, :, 1] += 1.
    reach = .5 * box_noise * boxes[..., 2:].repeat(1, 1, 2)
    corners = (to_corners(boxes) + signs * shares.flatten(1, 3) * reach).clamp(0., 1.)
    boxes = to_centres(corners).abs()  # edges that have passed each other change their roles
    return Noise(labels, boxes.clamp(1e-5, 1. - 1e-5).unflatten(1, (groups, -1)))


def attention_mask(groups: int, size: int, num_queries: int, device: torch.device) -> Tensor:
    """Who attends to whom, (1, 1, N, N): groups of ``size`` noised queries each to itself, all to the last queries.

    The others must not see the noised objects, nor may one group see another, which shows the same objects.
    """
    group = torch.arange(groups * size + num_queries, device=device) // size
    group = group.clamp(max=groups)
    return ((group.unsqueeze(1) == group) | (group == groups))[None, None]
