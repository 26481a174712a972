"""Size, arithmetic, time and memory of whole models, measured beside each other."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ..backbones import PlainViT
from ..inference.pipeline import in_scope
from ..models.base import DenseModel
from ..models.pretraining import without_pretraining
from ..registry import read_config
from ..weights import safe_reading
from .timing import Timing, count_runs, measure_by_turns

DTYPES = dict(fp32=torch.float32, bf16=torch.bfloat16, fp16=torch.float16)
NETWORK, PREDICT = 'network', 'predict'
_GEMM_SIZES = (1024, 2048, 4096)


@dataclass(frozen=True)
class Setting:
    """How models are run.

    Attributes:
        size: (H, W) of the images.
        device: PyTorch's device.
        precision: ``'fp32'``, or ``'bf16'`` or ``'fp16'`` under autocast.
        batch: Images at a time where throughput is measured.
        compiled: Put models through ``torch.compile``.
        whole: Measure ``predict`` with its reading of masks, where otherwise the network alone is measured.
    """
    size: tuple[int, int]
    device: torch.device
    precision: str = 'fp32'
    batch: int = 1
    compiled: bool = False
    whole: bool = False

    def __post_init__(self) -> None:
        if min(self.size) < 1 or self.batch < 1:
            raise ValueError(f'--size and --batch must be at least 1, not {self.size} and {self.batch}')

    def images(self, count: int) -> Tensor:
        """Random normalised images (count, 3, H, W), always the same."""
        generator = torch.Generator().manual_seed(0)
        return torch.randn(count, 3, *self.size, generator=generator).to(self.device)

    def autocast(self) -> AbstractContextManager:
        if self.precision == 'fp32':
            return nullcontext()
        return torch.autocast(self.device.type, DTYPES[self.precision])


@dataclass(frozen=True)
class ModelReport:
    """What was measured of one model.

    Attributes:
        name: The name of its config.
        measured: ``'network'`` or ``'predict'``.
        parameters, trunk_parameters: Numbers of the model, and of the transformer or convolutional network inside.
        macs: Multiplications of one image's forward pass: matrix products, convolutions and attention, which is what
            papers call FLOPs. Sampling, norms and activations are not counted.
        latency: Seconds of one image.
        trunk: Seconds of one image through the trunk alone.
        throughput: Images per second in batches.
    """
    name: str
    measured: str
    parameters: int
    trunk_parameters: int
    macs: int
    latency: Timing
    trunk: Timing
    throughput: float


class Subject:
    """A model of a config with random weights, ready to be run.

    Args:
        config: The path of a config.
        setting: How it is run.

    Raises:
        ValueError: The config has no model, or its model has no backbone.
    """

    def __init__(self, config: str | Path, setting: Setting) -> None:
        self.name, self.setting = Path(config).stem, setting
        cfg = read_config(config)
        if 'model' not in cfg:
            raise ValueError(f'{config} has no model')
        with in_scope(cfg), safe_reading():
            self.model = MODELS.build(without_pretraining(cfg.model)).to(setting.device).eval()
        self.model.requires_grad_(False)  # the counter of operations would look for gradient functions
        if not hasattr(self.model, 'backbone'):
            raise ValueError(f'the model of {config} has no backbone to be timed alone')
        self.trunk = _trunk(self.model.backbone)
        for module in self.model.modules():
            if hasattr(type(module), 'set_progress'):  # as at the end of training, when EoMT has no attention masks
                module.set_progress(1.)
        # OpenMMLab's heads need data samples even to run.
        self.measured = NETWORK if isinstance(self.model, DenseModel) and not setting.whole else PREDICT
        self._forward = self.model.network if self.measured == NETWORK else self._predict
        self._trunk_forward: Callable[[Tensor], object] = self.trunk
        if setting.compiled:
            self._forward, self._trunk_forward = torch.compile(self._forward), torch.compile(self._trunk_forward)

    def run(self, images: Tensor) -> None:
        with torch.inference_mode(), self.setting.autocast():
            self._forward(images)

    def run_trunk(self, images: Tensor) -> None:
        with torch.inference_mode(), self.setting.autocast():
            self._trunk_forward(images)

    def count_macs(self, images: Tensor) -> int:
        """Multiplications of a forward pass, with attention as plain matrix products."""
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
            self.model.network(images) if self.measured == NETWORK else self._predict(images)
        return counter.get_total_flops() // 2

    def _predict(self, images: Tensor) -> object:
        samples = [_sample(self.model, images) for _ in images]
        return self.model(images, samples, mode='predict')


def measure(
    subjects: Sequence[Subject],
    setting: Setting,
    repeats: int,
    advance: Callable[[], None] = lambda: None,
) -> list[ModelReport]:
    """Measure models by turns, each with its trunk.

    Args:
        subjects: The models.
        setting: How they were built.
        repeats: Runs of each.
        advance: Called `num_runs` times.
    """
    one, many = setting.images(1), setting.images(setting.batch)
    runs: dict[tuple[int, str], Callable[[], None]] = {}
    for index, subject in enumerate(subjects):
        runs[index, 'latency'] = lambda subject=subject: subject.run(one)
        runs[index, 'trunk'] = lambda subject=subject: subject.run_trunk(one)
        if setting.batch > 1:
            runs[index, 'batch'] = lambda subject=subject: subject.run(many)
    macs = [subject.count_macs(one) for subject in subjects]
    timings = measure_by_turns(runs, repeats, setting.device, advance)
    return [
        ModelReport(
            subject.name, subject.measured, _count(subject.model), _count(subject.trunk), macs[index],
            timings[index, 'latency'], timings[index, 'trunk'],
            setting.batch / timings[index, 'batch' if setting.batch > 1 else 'latency'].median)
        for index, subject in enumerate(subjects)]


def num_runs(subjects: Sequence[Subject], setting: Setting, repeats: int) -> int:
    """How often `measure` reports an advance."""
    return count_runs(len(subjects) * (3 if setting.batch > 1 else 2), repeats)


def gemm_peak(setting: Setting, repeats: int = 5) -> float:
    """The fastest matrix product of several sizes in multiplications per second: what the device can give at most."""
    dtype, best = DTYPES[setting.precision], 0.
    for size in _GEMM_SIZES:
        matrix = torch.randn(size, size, device=setting.device).to(dtype)
        timing = measure_by_turns({size: lambda matrix=matrix: matrix @ matrix}, repeats, setting.device)[size]
        best = max(best, size**3 / min(timing.seconds))
    return best


def _trunk(backbone: nn.Module) -> nn.Module:
    """The plain ViT inside an adapter; a backbone that holds none is its own trunk."""
    inner = getattr(backbone, 'vit', None)
    return inner if isinstance(inner, PlainViT) else backbone


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _sample(model: nn.Module, images: Tensor) -> object:
    size = tuple(images.shape[-2:])
    if hasattr(model, 'decode_head'):
        from mmseg.structures import SegDataSample as Sample
    else:
        from mmdet.structures import DetDataSample as Sample
    return Sample(metainfo=dict(
        img_shape=size, ori_shape=size, pad_shape=size, batch_input_shape=size, scale_factor=(1., 1.),
        padding_size=(0, 0, 0, 0), flip=False))
