"""One `predict` for every model that follows OpenMMLab's conventions, whatever its task."""
from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, replace
from itertools import chain, count
from os import PathLike
from pathlib import Path
from typing import Any, overload
from weakref import WeakSet

import numpy as np
import torch
from mmengine.config import Config
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from ..errors import DoubtfulResultWarning, one_line, printable
from ..images import ImageSource, local_path
from ..visualization.palette import Color
from .canvas import Canvas
from .memory import free_bytes, is_out_of_memory, largest_tile, peak_bytes
from .pipeline import InferencePipeline
from .result import Result
from .task import TILE_OPTIONS, Call, Picture, PredictionError, Tile
from .tasks import read_by, tasks_of
from .tiling import Tiling

# Pictures that wait for others of their size, in batches. More would fill memory, fewer leave batches that are not
# full where portraits and landscapes alternate.
_BATCHES_READ_AHEAD = 4

# Beside its tiles a picture is looked at for what they cut. Models resize what they see; those that do not would need
# the memory of all tiles at once, and masks of the whole are as large as what is shown to the model.
_MAX_WHOLE_PIXELS = 2**22

_casting: WeakSet[nn.Module] = WeakSet()


class Predictor:
    """Runs a model on pictures.

    A prediction changes nothing that it shares with others: threads may use one predictor, or several of one model.

    Args:
        model: An mmengine model whose ``test_step`` returns data samples at the original size, with what one of
            `densevit.inference.tasks` reads. It is moved to the device and set to evaluation. Its images are cast to
            the type of its parameters, so that ``predictor.model.bfloat16()`` may be called.
        cfg: The config that has the test pipeline.
        classes: Names by label id; None for a model of a task without classes.
        palette: RGB colours by label id; default colours if None.
        device: A device of PyTorch.
        notes: What a user should know of every result.
        options: Options of `predict` for calls that do not have them.
    """

    def __init__(
        self,
        model: nn.Module,
        cfg: Config,
        *,
        classes: Sequence[str] | None = None,
        palette: Sequence[Color] | None = None,
        device: str | torch.device = 'cpu',
        notes: Sequence[str] = (),
        **options: Any,
    ) -> None:
        self.model = model.to(device).eval()
        if model not in _casting:  # another predictor of it may have been made
            _casting.add(model)
            model.register_forward_pre_hook(_cast_images, with_kwargs=True)
        self.cfg = cfg
        self.classes = None if classes is None else tuple(classes)
        self.palette = palette
        self.notes = tuple(notes)
        self._tasks = tasks_of(model)
        self._pipeline = InferencePipeline(cfg)
        self._options: dict[str, Any] = {}
        self._call(options)
        self._options = options

    @overload
    def predict(self, images: ImageSource, batch_size: int = 1, **options: Any) -> Result: ...

    @overload
    def predict(self, images: Sequence[ImageSource], batch_size: int = 1, **options: Any) -> list[Result]: ...

    def predict(self, images, batch_size=1, **options):
        """One picture to one result; a list or tuple of pictures to a list of results in the same order.

        Args:
            images: Whatever `densevit.images.read_image` takes, or a list or tuple of it. A model that gives pictures
                back, as one of restoration, sees those of 16 bits as such and gives uint16 of them, and of floats, too
                (see `densevit.images.read_deep`); every other model sees 8 bits.
            batch_size: How many pictures of one size the model sees at once.
            options: ``max_pixels``, above which a picture is shrunk; those of the model's task, as
                ``min_score`` (see ``densevit.inference.tasks``); and, of a model of ours, those of its ``test_cfg``.
                Of a task that can do so: ``tiles=(height, width)`` in pixels, to predict a larger picture in tiles of
                its own resolution, ``batch_size`` at once, for small objects; of one that shrinks no picture,
                ``tiles='auto'``, which measures two small tiles and takes the largest that half of the free memory
                suffices for; ``overlap``, the least share of a tile
                that the next one has as well (0.2); ``whole_picture``, whether the picture is predicted as a whole, too
                (of detectors it is); and the task's own, as ``merge``.

        Raises:
            ImageError: A picture cannot be read.
            PredictionError: The model gives nothing that can be shown, or memory does not suffice.
            TypeError: There is no such option; the message names those that there are. Or the pictures are an iterator.
            ValueError: An option has a value that makes no sense.
        """
        if isinstance(images, (list, tuple)):
            return list(self.predict_iter(images, batch_size, **options))
        if isinstance(images, Iterator):
            raise TypeError('predict takes a list of pictures; give an iterator to predict_iter')
        return next(self.predict_iter([images], batch_size, **options))

    def predict_iter(
        self,
        images: Iterable[ImageSource],
        batch_size: int = 1,
        progress: Callable[[int, int | None], None] | None = None,
        **options: Any,
    ) -> Iterator[Result]:
        """Results one after the other, in order, without keeping them.

        Args:
            progress: Called after each picture with the number done and the number in all, None if that is not known.

        The other arguments and the errors are those of `predict`.
        """
        total, done = len(images) if isinstance(images, Sized) else None, count(1)
        for outcome in self.outcomes(images, batch_size, **options):
            if isinstance(outcome, Exception):
                raise outcome
            yield outcome
            del outcome  # while the next one is made
            if progress is not None:
                progress(next(done), total)

    def outcomes(
        self,
        images: Iterable[ImageSource],
        batch_size: int = 1,
        **options: Any,
    ) -> Iterator[Result | Exception]:
        """For each picture, in order, its result or what went wrong with it alone.

        The arguments are those of `predict`. Of an iterator, a few batches are read ahead.

        Raises:
            TypeError, ValueError: An option is wrong.
        """
        if isinstance(images, str):  # its characters are no pictures
            raise TypeError(f'give a list of pictures, [{images!r}]')
        _check_count('batch_size', batch_size)
        return self._outcomes(images, batch_size, *self._call(options))

    def _outcomes(
        self,
        images: Iterable[ImageSource],
        batch_size: int,
        call: Call,
        max_pixels: int | None,
        tiling: Tiling | None,
    ) -> Iterator[Result | Exception]:
        waiting: dict[Hashable, list[_Prepared]] = {}
        queue: deque[_Prepared] = deque()
        for image in images:
            queue.append(self._prepare(image, batch_size, call, max_pixels, tiling))
            if queue[-1].outcome is None:
                shape = queue[-1].shape
                waiting.setdefault(shape, []).append(queue[-1])
                if len(waiting[shape]) == batch_size:
                    self._run(waiting.pop(shape), call)
            if len(queue) >= _BATCHES_READ_AHEAD * batch_size and queue[0].outcome is None:
                self._run(waiting.pop(queue[0].shape), call)
            while queue and queue[0].outcome is not None:
                yield queue.popleft().outcome
        while queue:
            if queue[0].outcome is None:
                self._run(waiting.pop(queue[0].shape), call)
            yield queue.popleft().outcome

    @property
    def max_pixels(self) -> int | None:
        """A picture of more pixels is predicted at this size and the prediction enlarged; None if none is."""
        if 'max_pixels' in self._options:
            return self._options['max_pixels']
        limits = [task.max_pixels(self.model, len(self.classes or ())) for task in self._tasks]
        return min((limit for limit in limits if limit is not None), default=None)

    def sample(self, photograph: Path, folder: Path) -> tuple[Path, Mapping[str, Any]]:
        """What the model's task makes of a photograph to show itself, see `densevit.inference.task.Task.sample`."""
        if len(self._tasks) > 1:
            return photograph, {}
        return self._tasks[0].sample(photograph, folder, self.model)

    def _call(self, options: dict[str, Any]) -> tuple[Call, int | None, Tiling | None]:
        """Options of a call with those of the predictor, sorted by who knows them; ``max_pixels``; and the tiles."""
        given, options = options, {**self._options, **options}
        max_pixels = options.pop('max_pixels', None)
        if max_pixels is None:
            max_pixels = self.max_pixels
        else:
            _check_count('max_pixels', max_pixels)
        tiling = self._pop_tiling(options, given, max_pixels)
        cutters = [task for task in self._tasks if task.can_tile]
        own = {name: value for task in self._tasks for name, value in task.options.items()}
        own |= {name: value for task in cutters for name, value in task.tile_options.items()}
        in_force = self.model.prediction_options() if hasattr(self.model, 'prediction_options') else {}
        if unknown := [name for name in options if name not in own and name not in in_force]:
            known = ('max_pixels', *(TILE_OPTIONS if cutters else ()), *own, *in_force)
            raise TypeError(f'there is no option {unknown[0]!r}: choose of {", ".join(dict.fromkeys(known))}')
        call = Call(
            getattr(self.model, 'task', None), self.classes, self.palette,
            {name: options.get(name, default) for name, default in own.items()},
            {name: value for name, value in options.items() if name not in own}, in_force,
            tuple(getattr(self.model, 'takes', ())))
        for task in self._tasks:
            task.check(call)
        return call, max_pixels, tiling

    def _pop_tiling(
        self,
        options: dict[str, Any],
        given: Mapping[str, Any],
        max_pixels: int | None,
    ) -> Tiling | None:
        """What ``options`` have of tiles, taken out; None if they ask for none."""
        cutters = [task for task in self._tasks if task.can_tile]
        if not cutters:
            if options.pop('tiles', None) is not None:
                raise _not_merged(' or '.join(self._tasks[0].names))
            return None
        shape = dict(overlap=.2, whole_picture=cutters[0].whole_picture)
        shape |= {name: value for name in TILE_OPTIONS if (value := options.pop(name, None)) is not None}
        if 'tiles' in shape:
            tiling = Tiling.of(**shape)
            if tiling.size is None and max_pixels is not None:
                raise ValueError("tiles='auto' (--auto-tiles) is for models that shrink no picture: give "
                                 'tiles=(height, width) (--tiles)')
            if max_pixels is not None and tiling.size[0] * tiling.size[1] > max_pixels:
                raise ValueError(f'tiles={shape["tiles"]!r} would be shrunk to max_pixels={max_pixels}: give smaller '
                                 'tiles or a larger max_pixels')
            return tiling
        about_tiles = (*TILE_OPTIONS, *(name for task in cutters for name in task.tile_options))
        if lost := [name for name in about_tiles if given.get(name) is not None]:
            raise ValueError(f'{lost[0]} is about tiles: give tiles=(height, width) (--tiles) with it')
        return None

    def _prepare(
        self,
        source: ImageSource,
        batch_size: int,
        call: Call,
        max_pixels: int | None,
        tiling: Tiling | None,
    ) -> _Prepared:
        """A picture as the model takes it, the result of one in tiles, or why it cannot be read."""
        try:
            path = local_path(source) if isinstance(source, (str, PathLike)) else None
            image, loaded, doubts = self._pipeline.load(source, path)
            for doubt in doubts:
                warnings.warn(doubt, DoubtfulResultWarning, stacklevel=6)
            notes = [*self.notes, *doubts]
            if tiling is not None and tiling.size is None:
                side = self._largest_tile(loaded, path, batch_size, call)
                tiling = replace(tiling, size=(side, side))
            if tiling is not None and len(corners := tiling.corners(loaded.shape[:2])) > 1:
                height, width = tiling.tile_of(loaded.shape[:2])
                too = ' and as a whole' if tiling.whole_picture else ''
                notes.append(f'predicted in {len(corners)} tiles of {width}x{height} pixels{too}')
                most = min(max_pixels or _MAX_WHOLE_PIXELS, _MAX_WHOLE_PIXELS) if tiling.whole_picture else None
                picture = self._picture(image, loaded, most, path, notes)
                return _Prepared(outcome=self._merged(self._tiles(loaded, picture, batch_size, call, tiling), picture,
                                                      call))
            picture = self._picture(image, loaded, max_pixels, path, notes)
            if picture.canvas.is_shrunk:
                (height, width), (rows, columns) = picture.canvas.size, picture.canvas.content
                name = 'the picture' if path is None else printable(path)
                shrunk = (f'{name}: shrunk from {width}x{height} to {columns}x{rows} pixels; a larger max_pixels keeps '
                          'more')
                picture = replace(picture, notes=(*picture.notes, shrunk))
            return self._prepared(picture, call)
        except Exception as error:  # the other pictures have nothing to do with it
            return _Prepared(outcome=error)

    def _picture(
        self,
        image: np.ndarray,
        loaded: np.ndarray,
        max_pixels: int | None,
        path: Path | None,
        notes: Sequence[str],
    ) -> Picture:
        canvas = Canvas.fit(loaded, max_pixels)
        # Only where it differs from the image: what waits for a batch holds it.
        unshrunk = loaded if canvas.is_shrunk and self._pipeline.keep_depth else None
        return Picture(image, canvas, path, tuple(notes), unshrunk=unshrunk)

    def _prepared(self, picture: Picture, call: Call) -> _Prepared:
        inputs, sample = self._pipeline(picture.canvas.image, picture.source)
        if len(self._tasks) == 1:
            self._tasks[0].tell(sample, picture, call)
        return _Prepared(picture, inputs, sample)

    def _largest_tile(self, loaded: np.ndarray, path: Path | None, batch_size: int, call: Call) -> int:
        """The side of tiles of a picture that memory suffices for, a batch of them at once; measured."""
        device = next(self.model.parameters()).device
        beside: dict[str, np.ndarray | None] = {}

        def peak(side: int) -> int:
            part = np.resize(loaded, (side, side, *loaded.shape[2:]))
            picture = Picture(
                np.zeros((side, side, 3), np.uint8), Canvas.fit(part, None), path, tile_of=loaded.shape[:2],
                is_probe=True, beside=beside)
            group = [self._prepared(picture, call) for _ in range(batch_size)]
            taken = peak_bytes(lambda: self._run(group, call), device)
            group[0].result()  # raises what went wrong
            return taken

        return largest_tile(peak, free_bytes(device), max(loaded.shape[:2]))

    def _tiles(
        self,
        loaded: np.ndarray,
        picture: Picture,
        batch_size: int,
        call: Call,
        tiling: Tiling,
    ) -> Iterator[Tile]:
        """What is found in a picture and in its tiles; memory is for a batch of them."""
        (height, width), corners = tiling.tile_of(loaded.shape[:2]), tiling.corners(loaded.shape[:2])
        if len(self._tasks) == 1:
            self._tasks[0].check_tiles(picture, (height, width), corners, call)
        if tiling.whole_picture:
            whole = self._prepared(picture, call)
            self._run([whole], call)
            yield Tile(whole.result(), 0, 0)
        for batch in (corners[start:start + batch_size] for start in range(0, len(corners), batch_size)):
            parts = [np.s_[top:top + height, left:left + width] for top, left in batch]
            # Of copies: transforms may change what they are given, and tiles overlap.
            group = [self._prepared(replace(
                picture, image=picture.image[part], canvas=Canvas.fit(loaded[part].copy(), None),
                tile_of=picture.image.shape[:2], corner=corner, unshrunk=None), call) for part, corner in zip(
                    parts, batch, strict=True)]
            self._run(group, call)
            for prepared, (top, left) in zip(group, batch, strict=True):
                try:
                    result = prepared.result()
                except Exception as error:  # no picture is joined of the others
                    raise PredictionError(f'the tile of {width}x{height} pixels at ({left}, {top}) failed: '
                                          f'{one_line(error)}') from error
                yield Tile(result, top, left)

    def _merged(self, tiles: Iterator[Tile], picture: Picture, call: Call) -> Result:
        first = next(tiles)
        task = next(task for task in self._tasks if first.result.task in task.names)
        if not task.can_tile:
            raise _not_merged(first.result.task)
        return task.merge(chain([first], tiles), picture, call)

    @torch.no_grad()
    def _run(self, group: Sequence[_Prepared], call: Call) -> None:
        """Predict pictures of one size."""
        options = dict(call.given)
        if call.in_force and len(self._tasks) == 1:
            options |= self._tasks[0].model_options(call)
        try:
            samples = self.model.test_step(
                dict(inputs=[each.inputs for each in group], data_samples=[each.sample for each in group]), **options)
        except Exception as error:
            samples = [_out_of_memory(group, error) if is_out_of_memory(error) else error] * len(group)
        for prepared, sample in zip(group, samples, strict=True):
            prepared.finish(sample if isinstance(sample, Exception) else self._read(sample, prepared.picture, call))

    def _read(self, sample: BaseDataElement, picture: Picture, call: Call) -> Result | Exception:
        if unknown := _with_nan(sample):
            return PredictionError(f'the model gave NaN ({", ".join(unknown)}), of which nothing can be shown: predict '
                                   'in float32 or bfloat16 if it is in float16, else take other weights')
        try:
            return read_by(sample, self._tasks).read(sample, picture, call)
        except Exception as error:
            return error


def _with_nan(sample: BaseDataElement) -> list[str]:
    """Fields of a data sample that hold NaN; finite weights may give it in a type of little range."""
    found = []
    for name, field in sample.items():
        parts = field.values() if isinstance(field, BaseDataElement) else (field, )
        tensors = [part for part in (getattr(part, 'tensor', part) for part in parts) if isinstance(part, Tensor)]
        # A sum allocates nothing and is NaN where a summand is, or where infinities cancel.
        if any(each.is_floating_point() and each.sum().isnan() and each.isnan().any() for each in tensors):
            found.append(name)
    return found


@dataclass(eq=False)
class _Prepared:
    """A picture on its way; what the model takes is let go of when there is an outcome."""

    picture: Picture | None = None
    inputs: Tensor | None = None
    sample: BaseDataElement | None = None
    outcome: Result | Exception | None = None

    @property
    def shape(self) -> Hashable:
        """What pictures of one batch have in common: the size that the model sees, and what of it is padding."""
        return self.inputs.shape, self.inputs.dtype, tuple(self.sample.get('img_shape', ()))

    def result(self) -> Result:
        """The outcome, raised if it is what went wrong."""
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def finish(self, outcome: Result | Exception) -> None:
        self.picture = self.inputs = self.sample = None
        self.outcome = outcome


def _out_of_memory(group: Sequence[_Prepared], cause: Exception) -> PredictionError:
    """What to do where memory does not suffice for pictures of one size."""
    picture = group[0].picture
    height, width = picture.canvas.image.shape[:2]
    on_gpu = isinstance(cause, torch.cuda.OutOfMemoryError)
    elsewhere = ' or device="cpu" (--device)' if on_gpu else ''
    smaller = f'a smaller batch_size than {len(group)} (--batch-size)' if len(group) > 1 else (
        'a smaller max_pixels' if picture.tile_of is None else 'smaller tiles (--tiles)')
    error = PredictionError(f'not enough {"GPU " if on_gpu else ""}memory for {len(group)} x {width}x{height} pixels; '
                            f'give {smaller}{elsewhere}')
    error.__cause__ = cause
    return error


def _not_merged(task: str) -> ValueError:
    return ValueError(f'tiles: results of models for {task} are not merged; leave tiles out (--tiles)')


def _check_count(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f'{name}={value!r}: give a whole number above 0')


def _cast_images(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple, dict]:
    """The images of a call as the parameters are; what prepares them gives single precision for every model."""
    dtype = next((parameter.dtype for parameter in model.parameters() if parameter.is_floating_point()), None)
    images = kwargs.get('inputs')
    if dtype is not None and isinstance(images, Tensor) and images.is_floating_point():
        kwargs = dict(kwargs, inputs=images.to(dtype))
    return args, kwargs
