"""What every model of every task keeps to, checked on tiny ones: a row says how one is built, taught and read."""
from __future__ import annotations

import copy
import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from mmengine.structures import BaseDataElement
from randomised import randomise
from torch import Tensor

from densevit.models import DenseModel
from densevit.registry import MODELS

VIT = dict(type='densevit.PlainViT', img_size=64, patch_size=16, embed_dim=32, depth=2, num_heads=2)
PREPROCESSOR = dict(type='mmengine.ImgDataPreprocessor', mean=[127.] * 3, std=[60.] * 3)
ODD = (50, 70)  # height and width, neither a whole number of patches


@dataclass
class Row:
    """A tiny model.

    Attributes:
        config: The config of the model.
        annotate: Puts what the model is taught of an image of (H, W) pixels into a data sample.
        read: The tensors of a prediction.
        options: Options of a call that change what is predicted.
        prepare: Makes a model of random weights predict something.
    """
    config: dict[str, Any]
    annotate: Callable[[BaseDataElement, Sequence[int]], None]
    read: Callable[[BaseDataElement], list[Tensor]]
    options: dict[str, Any]
    prepare: Callable[[DenseModel], None] = field(default=lambda model: None)

    def build(self, seed: int = 0, **backbone: Any) -> DenseModel:
        """A model with random values everywhere, in eval mode."""
        torch.manual_seed(seed)
        model = randomise(MODELS.build(dict(
            self.config, backbone=dict(VIT, **backbone), data_preprocessor=PREPROCESSOR)), seed)
        self.prepare(model)
        return model

    def batch(self, *original: Sequence[int], size: Sequence[int] = ODD) -> dict[str, list]:
        """Images of one size, which were once of other sizes, with annotations, as a data loader gives them."""
        generator = torch.Generator().manual_seed(0)
        inputs = [torch.randint(256, (3, *size), generator=generator, dtype=torch.uint8) for _ in original]
        samples = [BaseDataElement(metainfo=dict(img_shape=tuple(size), ori_shape=shape)) for shape in original]
        for sample in samples:
            self.annotate(sample, size)
        return dict(inputs=inputs, data_samples=samples)

    def predict(self, model: DenseModel, batch: dict[str, list], **options: Any) -> list[list[Tensor]]:
        samples = [copy.deepcopy(sample) for sample in batch['data_samples']]
        return [self.read(found) for found in model.test_step(dict(batch, data_samples=samples), **options)]


def learn(row: Row, model: DenseModel, size: Sequence[int]) -> None:
    model.train()
    losses = model(**model.data_preprocessor(row.batch(size, size, size=size), True), mode='loss')
    assert all(loss.isfinite() for loss in losses.values())
    sum(losses.values()).backward()


def check_learns(row: Row) -> None:
    """The loss of images of odd sizes is finite and reaches every parameter: distributed training waits for each."""
    for size in (ODD, (96, 33), (32, 32)):
        model = row.build()
        learn(row, model, size)
        assert not [name for name, parameter in model.named_parameters() if parameter.grad is None]
        assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def check_frozen(row: Row) -> None:
    """Frozen stages of the backbone learn nothing, and all the rest does."""
    model = row.build(frozen_stages=0)
    learn(row, model, ODD)
    without = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert without == {name for name, parameter in model.named_parameters() if not parameter.requires_grad} != set()
    assert all(name.startswith('network.backbone.') for name in without)


def check_saved_and_copied(row: Row) -> None:
    """Another model with the values of the first, read as data alone, and a copy predict what the first does."""
    model, other, batch, file = row.build(), row.build(seed=1), row.batch(ODD), io.BytesIO()
    expected = row.predict(model, batch)
    assert not same(row.predict(other, batch), expected)
    torch.save(model.state_dict(), file)
    other.load_state_dict(torch.load(io.BytesIO(file.getvalue()), weights_only=True))
    for each in (other, copy.deepcopy(model)):
        assert same(row.predict(each, batch), expected)
        assert each.prediction_options() == model.prediction_options()


def check_batch(row: Row) -> None:
    """Images in a batch are predicted as they are one by one, each at its original size."""
    model, batch = row.build(), row.batch(ODD, (31, 90), (101, 45))
    together = row.predict(model, batch)
    for index, found in enumerate(together):
        one = {key: values[index:index + 1] for key, values in batch.items()}
        assert same(row.predict(model, one), [found], 1e-5)
        shape = batch['data_samples'][index].ori_shape
        assert any(part.shape[-2:] == shape for part in found)


def check_options(row: Row) -> None:
    """Options of a call change this call alone, in as many threads as there are, and unknown ones are refused."""
    model, batch = row.build(), row.batch(ODD, (31, 90))
    before = model.prediction_options()
    calls = [{}, row.options]
    alone = [row.predict(model, batch, **options) for options in calls]
    assert not same(*alone)
    assert row.options.keys() <= before.keys() and not row.options.items() <= before.items()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda options: row.predict(model, batch, **options), calls * 6))
    assert all(same(each, alone[index % 2]) for index, each in enumerate(found))
    with pytest.raises(ValueError, match=f'nonsense is no option here: choose of .*{next(iter(row.options))}'):
        row.predict(model, batch, nonsense=1)
    assert model.prediction_options() == before


def same(ours: Sequence[Sequence[Tensor]], theirs: Sequence[Sequence[Tensor]], tolerance: float = 0.) -> bool:
    """Whether predictions are equal.

    With a tolerance, numbers are near, and labels and masks equal at nearly all pixels: rounding moves borders.
    """
    pairs = [pair for own, other in zip(ours, theirs, strict=True) for pair in zip(own, other, strict=True)]
    return all(_near(own, other, tolerance) for own, other in pairs)


def _near(ours: Tensor, theirs: Tensor, tolerance: float) -> bool:
    if ours.shape != theirs.shape or not tolerance:
        return torch.equal(ours, theirs)
    if ours.is_floating_point():
        return torch.allclose(ours, theirs, rtol=tolerance, atol=tolerance)
    return (ours == theirs).float().mean().item() > .999


CHECKS = (check_learns, check_frozen, check_saved_and_copied, check_batch, check_options)
