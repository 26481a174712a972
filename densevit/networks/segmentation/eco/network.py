"""ECO-M2F: Efficient Transformer Encoders for Mask2Former-style models (arXiv:2404.15244): a depth for each image.

Three steps lead to it. A: the network is trained to exit after any of several layers of the pixel decoder's encoder
(:class:`ECOMask2FormerNet`). B: from the quality at each exit follows the best exit of each training image
(:func:`best_exits`). C: a gate learns to foresee it from the image (:func:`fit_gate`). Another balance of quality and
cost needs B and C alone, which tools/fit_exit_gate.py does on the data of a config.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ....backbones.contract import Backbone
from ...deformable_encoder import LevelTokens
from ..mask2former import Mask2FormerNet
from ..mask_loss import MaskClassificationLoss
from ..mask_types import MaskPrediction, MaskTarget


class ExitPrediction(NamedTuple):
    """A prediction behind one exit.

    Attributes:
        masks, classes: See :class:`MaskPrediction`.
        weight: What its losses are multiplied by.
    """
    masks: Tensor
    classes: Tensor
    weight: float


class EarlyExitLoss(MaskClassificationLoss):
    """Mask2Former's loss with a weight for each exit; same arguments."""

    def _one(
        self,
        prediction: ExitPrediction,
        targets: Sequence[MaskTarget],
        num_masks: Tensor,
    ) -> dict[str, Tensor]:
        losses = super()._one(MaskPrediction(prediction.masks, prediction.classes), targets, num_masks)
        return {name: prediction.weight * loss for name, loss in losses.items()}


class ECOMask2FormerNet(Mask2FormerNet):
    """Mask2Former whose pixel decoder runs as many encoder layers as an image needs.

    In training, step A, each step exits after layers drawn at random, and the losses behind exit k are weighted: more
    the deeper it is. In evaluation a linear gate on the mean of the encoder's inputs of stride 32 chooses the exit.

    Args:
        backbone, num_classes, options: See :class:`Mask2FormerNet`; the last exit is ``encoder_layers``.
        first_exit: The fewest layers that are run; the authors exit behind 2 to 6.
        exit_weights: One for each exit, from the first; None for the number of layers, as in the authors' code.
        exits_per_step: How many exits a training step draws; all of them make it the weighted sum over exits.
        exit: Layers that every image passes in evaluation; None lets the gate choose.

    Raises:
        ValueError: There is no such exit, or the weights are not one an exit.
    """
    loss_class = EarlyExitLoss

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        first_exit: int = 2,
        exit_weights: Sequence[float] | None = None,
        exits_per_step: int = 1,
        exit: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(backbone, num_classes, **options)
        encoder_layers = len(self.pixel_decoder.layers)
        if not 0 < first_exit <= encoder_layers:
            raise ValueError(f'first_exit={first_exit}, but the encoder has {encoder_layers} layers')
        self.exits = tuple(range(first_exit, encoder_layers + 1))
        weights = self.exits if exit_weights is None else tuple(exit_weights)
        if len(weights) != len(self.exits):
            raise ValueError(f'exit_weights has {len(weights)} numbers for the exits {self.exits}')
        if not 0 < exits_per_step <= len(self.exits):
            raise ValueError(f'exits_per_step={exits_per_step}: choose 1 to {len(self.exits)}')
        if exit is not None and exit not in self.exits:
            raise ValueError(f'exit={exit}: choose one of {self.exits}, or None for the gate')
        self.exit_weights = dict(zip(self.exits, map(float, weights), strict=True))
        self.exits_per_step, self.exit = exits_per_step, exit
        self.exit_gate = nn.Linear(self.query.embedding_dim, len(self.exits))
        nn.init.zeros_(self.exit_gate.bias)
        self.exit_gate.requires_grad_(False)  # step A trains everything else, step C it alone

    def forward(self, images: Tensor) -> list[MaskPrediction] | list[ExitPrediction]:
        """In train mode the predictions behind each drawn exit, the deepest last; else those of the chosen exits."""
        maps, tokens = self._embed(images)
        if self.training:
            return self._predict_at(self._draw(), maps, tokens)
        exits = self.choose(gate_inputs(tokens)) if self.exit is None else [self.exit] * images.shape[0]
        with torch.autocast(images.device.type, enabled=False):
            features = self.pixel_decoder.decode(self._encode_to(exits, tokens), maps[0])
        return self.decode(features)

    def choose(self, inputs: Tensor) -> list[int]:
        """How many layers each image needs, by the gate's inputs (B, D)."""
        with torch.autocast(inputs.device.type, enabled=False):
            return [self.exits[index] for index in self.exit_gate(inputs).argmax(1).tolist()]

    def _embed(self, images: Tensor) -> tuple[list[Tensor], LevelTokens]:
        maps = self.backbone(images)
        with torch.autocast(images.device.type, enabled=False):
            maps = self.pixel_decoder.prepare(maps)
            return maps, self.pixel_decoder.embed(maps)

    def _draw(self) -> list[int]:
        drawn = torch.randperm(len(self.exits))[:self.exits_per_step].tolist()
        return sorted(self.exits[index] for index in drawn)

    def _predict_at(self, stops: Sequence[int], maps: Sequence[Tensor], tokens: LevelTokens) -> list[ExitPrediction]:
        """Predictions behind some exits, in ascending order."""
        predictions, start = [], 0
        for stop in stops:
            with torch.autocast(tokens.x.device.type, enabled=False):
                tokens = self.pixel_decoder.encode(tokens, start, stop)
                features = self.pixel_decoder.decode(tokens, maps[0])
            predictions += [ExitPrediction(*x, self.exit_weights[stop]) for x in self.decode(features)]
            start = stop
        # Distributed training waits for a gradient of every parameter, of the layers behind the last exit too.
        skipped = sum(x.sum() for layer in self.pixel_decoder.layers[start:] for x in layer.parameters())
        last = predictions[-1]
        predictions[-1] = last._replace(masks=last.masks + 0. * skipped)
        return predictions

    def _encode_to(self, exits: Sequence[int], tokens: LevelTokens) -> LevelTokens:
        """Run for each image as many layers as is said, and no layer for an image that needs it no more."""
        x, start = tokens.x, 0
        for stop in sorted(set(exits)):
            rows = [row for row, needed in enumerate(exits) if needed >= stop]
            if len(rows) == len(exits):
                x = self.pixel_decoder.encode(tokens._replace(x=x), start, stop).x
            else:
                index = torch.tensor(rows, device=x.device)
                x = x.index_copy(0, index, self.pixel_decoder.encode(tokens._replace(x=x[index]), start, stop).x)
            start = stop
        return tokens._replace(x=x)


def gate_inputs(tokens: LevelTokens) -> Tensor:
    """The inputs of the gate, (B, D): the mean over the coarsest level before the encoder."""
    height, width = tokens.grids[0]
    return tokens.x[:, :height * width].mean(1)


def best_exits(quality: Tensor, beta: float, exits: Sequence[int]) -> Tensor:
    """Step B: for each image the index of the exit k with the greatest utility u(k) = q_k - beta k.

    Args:
        quality: q_k, (N, E), such as the panoptic quality in [0, 1] of each image behind each exit.
        beta: What a layer costs: the authors use 0.0005 and 0.02 on COCO, 0.003 and 0.01 on Cityscapes.
        exits: Layers k run at each exit, E of them, ascending; of equal utilities the first, cheapest is taken.

    Returns:
        (N,), int64.
    """
    depths = torch.tensor(exits, dtype=quality.dtype, device=quality.device)
    return (quality - beta * depths).argmax(1)


def fit_gate(gate: nn.Linear, inputs: Tensor, targets: Tensor, decay: float = 1e-4, max_steps: int = 200) -> float:
    """Step C: teach the gate the best exits by cross-entropy, with everything else as it is.

    The gate is linear and sees one vector of an image, so that all images are fitted at once (L-BFGS).

    Args:
        gate: :attr:`ECOMask2FormerNet.exit_gate`.
        inputs: What it sees, (N, D), see :func:`gate_inputs`.
        targets: The best exit of each image, (N,), see :func:`best_exits`.
        decay: Weight of the squared weights beside the loss.
        max_steps: Steps of the optimiser, at most.

    Returns:
        The cross-entropy reached.
    """
    weight, bias = (x.detach().clone().requires_grad_() for x in (gate.weight, gate.bias))
    optimiser = torch.optim.LBFGS((weight, bias), max_iter=max_steps, line_search_fn='strong_wolfe')

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = F.cross_entropy(F.linear(inputs, weight, bias), targets) + decay * weight.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimiser.step(closure)
    with torch.no_grad():
        gate.weight.copy_(weight)
        gate.bias.copy_(bias)
        return F.cross_entropy(gate(inputs), targets).item()
