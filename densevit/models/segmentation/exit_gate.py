"""Steps B and C of ECO-M2F (arXiv:2404.15244) on a data set: what each exit is worth, and a gate that foresees it."""
from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger
from torch import Tensor, nn

from ...networks.segmentation import ECOMask2FormerNet
from .mask_segmentor import MaskSegmentor

_PATIENCE = 20  # images without the wanted measure before it is taken for mistyped


class ExitSurvey(NamedTuple):
    """How good the predictions of a network are behind each exit.

    Attributes:
        inputs: What the gate sees of each image, (N, D).
        quality: The measure of each image behind each exit, (N, E), in [0, 1].
    """
    inputs: Tensor
    quality: Tensor


def require_gate(model: nn.Module) -> ECOMask2FormerNet:
    """The network of a model that a gate can be taught for.

    Raises:
        ValueError: The model has no early exits, or sees windows, each of which would get an exit of its own.
    """
    if not isinstance(model, MaskSegmentor) or not isinstance(model.network, ECOMask2FormerNet):
        raise ValueError("the config's model has no early exits: head.type='densevit.ECOMask2FormerNet' has some")
    if model.options.mode != 'whole':
        raise ValueError("the gate chooses for whole images: set model.test_cfg.mode='whole'")
    return model.network


@torch.no_grad()
def survey_exits(model: MaskSegmentor, batches: Iterable[Any], evaluator: Evaluator, measure: str) -> ExitSurvey:
    """Predict images behind every exit and evaluate each prediction alone.

    Args:
        model: A model that :func:`require_gate` accepts, in evaluation mode.
        batches: Batches of one image each, as a data loader gives them.
        evaluator: The evaluator of the data set.
        measure: Which of the evaluator's measures, in percent, is the quality: ``'PQ'``, ``'mIoU'``.

    Raises:
        ValueError: There is no such measure; the message names those that there are.
    """
    network, inputs, quality = require_gate(model), [], []
    known: dict[str, float] = {}
    chosen = network.exit
    handle = network.exit_gate.register_forward_pre_hook(lambda gate, args: inputs.append(args[0].float().cpu()))
    try:
        for batch in batches:
            network.exit = None  # for the hook; what the gate chooses is not looked at
            model.val_step(batch)
            own = []
            for stop in network.exits:
                network.exit = stop
                evaluator.process(model.val_step(batch), batch)
                with _quiet():
                    measures = {name.rpartition('/')[2]: value for name, value in evaluator.evaluate(1).items()}
                known.update(measures)
                own.append(float(measures.get(measure, torch.nan)))
            quality.append(own)
            if len(quality) == _PATIENCE:
                _require(measure, known)
    finally:
        handle.remove()
        network.exit = chosen
    _require(measure, known)
    # A measure is not a number, or left out, where an image shows nothing that counts: no exit is better than another.
    return ExitSurvey(torch.cat(inputs), torch.tensor(quality).nan_to_num_(0.) / 100.)


def _require(measure: str, known: Collection[str]) -> None:
    if measure not in known:
        raise ValueError(f"the config's val_evaluator has no '{measure}'" + (
            f": choose of {', '.join(known)}" if known else ' or any other for these images'))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep evaluators from logging a table for each image."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
