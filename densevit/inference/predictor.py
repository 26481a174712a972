"""One `predict` for every segmentation model that follows OpenMMLab's conventions."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from inspect import signature
from os import PathLike
from typing import Any, overload

import torch
from mmengine.config import Config
from torch import nn

from densevit.images import ImageSource, local_path
from densevit.models import MaskSegmentor, Segmentor
from densevit.visualization.palette import Color

from .canvas import Canvas
from .pipeline import InferencePipeline, in_scope
from .predictions import PredictionError, PredictionReader
from .result import SegmentationResult, Task

# Our own models make few class scores at a time. What grows with a picture are the maps that are shown and, unless the
# pipeline resizes, the network's features.
_MAX_PIXELS = 2**26
# Other models give class scores at the picture's own size, the largest thing in memory: at most 2 GiB of float32.
_MAX_SCORES = 2**29
_MAX_SCORED_PIXELS = 2**24


class Predictor:
    """Runs a model on pictures.

    Args:
        model: an mmengine model whose ``test_step`` returns data samples with ``pred_sem_seg``, ``pred_instances`` or
            ``pred_panoptic_seg`` at the original size. It is moved to the device and set to evaluation; one of ours
            leaves out instances below ``min_score`` itself, unless its ``test_cfg`` has a ``score_threshold``. Its
            images are cast to the type of its parameters, so that ``predictor.model.bfloat16()`` may be called.
        cfg: has the test pipeline.
        classes: names by label id.
        palette: RGB colours by label id; default colours if None.
        device: of PyTorch.
        max_pixels: a larger picture is predicted at this size and the prediction enlarged. By default 67 million for
            models of ours; for others what keeps the class scores below 2 GiB, at most 17 million.
        min_score: instances below it are left out.
    """

    def __init__(
        self,
        model: nn.Module,
        cfg: Config,
        *,
        classes: Sequence[str],
        palette: Sequence[Color] | None = None,
        device: str | torch.device = 'cpu',
        max_pixels: int | None = None,
        min_score: float = 0.5,
    ) -> None:
        self.model = model.to(device).eval()
        self.model.register_forward_pre_hook(_cast_images, with_kwargs=True)
        self.cfg = cfg
        self.classes = tuple(classes)
        self.max_pixels = max_pixels or _default_max_pixels(model, len(self.classes))
        self._min_score = min_score
        self._pipeline = InferencePipeline(cfg)
        self._reader = PredictionReader(self.classes, palette, min_score)

    @overload
    def predict(self, images: ImageSource) -> SegmentationResult: ...

    @overload
    def predict(self, images: Sequence[ImageSource]) -> list[SegmentationResult]: ...

    def predict(self, images):
        """One picture to one result; a list or tuple of pictures to a list of results in the same order.

        Args:
            images: whatever `densevit.images.read_image` takes, or a list or tuple of it.

        Raises:
            ImageError: a picture cannot be read.
            PredictionError: the model gives no segmentation, or memory does not suffice.
        """
        if isinstance(images, (list, tuple)):
            return list(self.predict_iter(images))
        return self._predict_one(images)

    def predict_iter(
        self,
        images: Iterable[ImageSource],
        progress: Callable[[int, int | None], None] | None = None,
    ) -> Iterator[SegmentationResult]:
        """Results one after the other, in order, without keeping them.

        Args:
            progress: called after each picture with the number done and the number in all, None if that is not known.
        """
        total = len(images) if isinstance(images, Sized) else None
        for done, image in enumerate(images, start=1):
            yield self._predict_one(image)
            if progress is not None:
                progress(done, total)

    def thresholds(self, task: Task) -> dict[str, float]:
        """Which options leave out segments of a task, with their values; those of other libraries are not known."""
        if task == 'instance':
            own = _reading(self.model).get('score_threshold', 0)  # the model's first, then the reader's
            return dict(min_score=self._min_score) if own <= self._min_score else {'test_cfg.score_threshold': own}
        if task != 'panoptic' or not isinstance(self.model, MaskSegmentor):
            return {}
        options = signature(self.model.network.panoptic_reader).parameters.values()
        return {f'test_cfg.{option.name}': self.model.reading.get(option.name, option.default)
                for option in options if option.name.endswith('threshold')}

    @torch.no_grad()
    def _predict_one(self, source: ImageSource) -> SegmentationResult:
        path = local_path(source) if isinstance(source, (str, PathLike)) else None
        image, loaded = self._pipeline.load(source, path)
        canvas = Canvas.fit(loaded, self.max_pixels)
        try:
            with in_scope(self.cfg):
                batch = self._pipeline(canvas.image, path)
                (sample,) = self.model.test_step(batch, **_least_score(self.model, self._min_score))
            return self._reader.read(sample, image, canvas, path)
        except torch.cuda.OutOfMemoryError as error:
            height, width = canvas.image.shape[:2]
            raise PredictionError(f'not enough GPU memory for {width}x{height} pixels; give a smaller max_pixels or '
                                  'device="cpu"') from error


def _cast_images(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple, dict]:
    """The images of a call as the parameters are; what prepares them gives single precision for every model."""
    dtype = next((parameter.dtype for parameter in model.parameters() if parameter.is_floating_point()), None)
    images = kwargs.get('inputs')
    if dtype is not None and isinstance(images, torch.Tensor) and images.is_floating_point():
        kwargs = dict(kwargs, inputs=images.to(dtype))
    return args, kwargs


def _reading(model: nn.Module) -> dict[str, float]:
    return model.reading if isinstance(model, MaskSegmentor) else {}


def _least_score(model: nn.Module, score: float) -> dict[str, float]:
    """Masks of instances below it are not made; a ``score_threshold`` in ``test_cfg`` goes first."""
    if not (isinstance(model, MaskSegmentor) and model.task == 'instance') or 'score_threshold' in model.reading:
        return {}
    return dict(score_threshold=score)


def _default_max_pixels(model: nn.Module, num_classes: int) -> int:
    if isinstance(model, Segmentor):
        return _MAX_PIXELS
    return min(_MAX_SCORED_PIXELS, _MAX_SCORES // max(1, num_classes))
