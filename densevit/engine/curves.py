"""The course of a run as a picture."""
from __future__ import annotations

import io
import math
import os
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..files import write_atomic
from ..registry import HOOKS

NAME = 'curve.png'
_POINTS = 'curve'  # in the message hub, which checkpoints keep: a resumed run goes on with the same curve
_MAX_METRICS, _LEAST_POINTS = 6, 20


@HOOKS.register_module()
class CurveHook(Hook):
    """Draws the loss and the validation metrics of a run over its iterations into ``curve.png`` of the work dir.

    The picture is written anew with every validation and at the end. Points are kept in checkpoints, so that a run that
    was resumed has one curve.

    Args:
        interval: Iterations over which the loss is averaged to a point; fewer in a short run, which has 20 points.
    """
    priority = 'VERY_LOW'

    def __init__(self, interval: int = 50) -> None:
        self.interval = interval
        self._sum, self._count = 0., 0

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                         outputs: Mapping[str, Any] | None = None) -> None:
        """Take the loss in; a point is the mean since the last one."""
        if outputs is None or 'loss' not in outputs:
            return
        self._sum, self._count = self._sum + float(outputs['loss'].detach()), self._count + 1
        if (runner.iter + 1) % min(self.interval, max(1, runner.max_iters // _LEAST_POINTS)) == 0:
            self._add(runner, dict(loss=self._sum / self._count))
            self._sum, self._count = 0., 0

    def after_val_epoch(self, runner: Runner, metrics: Mapping[str, Any] | None = None) -> None:
        """Add the metrics and draw; a validation outside of a training has no curve."""
        if runner.iter:
            items = (metrics or {}).items()
            self._add(runner, {name: float(value) for name, value in items if isinstance(value, Real)})  # NumPy's, too
            self._draw(runner)

    def after_train(self, runner: Runner) -> None:
        self._draw(runner)

    def _add(self, runner: Runner, values: dict[str, float]) -> None:
        points = list(_points(runner))
        points.append(dict(values, step=runner.iter + ('loss' in values)))
        runner.message_hub.update_info(_POINTS, points)

    @master_only
    def _draw(self, runner: Runner) -> None:
        if points := _points(runner):
            write_atomic(draw_curve(points, os.path.basename(os.path.normpath(runner.work_dir))),
                         Path(runner.work_dir, NAME))


def _points(runner: Runner) -> list[dict[str, float]]:
    return runner.message_hub.get_info(_POINTS, None) or []


def draw_curve(points: list[dict[str, float]], title: str) -> bytes:
    """A PNG of the loss, and of validation metrics beside it if there are any.

    Args:
        points: Each has a ``step`` and a ``loss``, or a ``step`` and metrics by name.
        title: Above the picture.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # a second that other users need not wait for
    from matplotlib.figure import Figure  # without pyplot, whose figures and backend are global

    metrics = list(dict.fromkeys(name for point in points for name in point if name not in ('step', 'loss')))
    figure = Figure(figsize=(10 if metrics else 5, 3.6), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2 if metrics else 1, squeeze=False)[0]
    _plot(axes[0], points, ['loss'])
    axes[0].set_ylabel('loss')
    if metrics:
        _plot(axes[1], points, metrics[:_MAX_METRICS])
        axes[1].set_ylabel('validation')
        axes[1].legend(fontsize='small')
    for axis in axes:
        axis.set_xlabel('iteration')
        axis.grid(alpha=.3)
    figure.suptitle(title)
    file = io.BytesIO()
    figure.savefig(file, format='png', dpi=110)
    return file.getvalue()


def _plot(axis: Any, points: list[dict[str, float]], names: list[str]) -> None:
    for name in names:
        found = [(point['step'], point[name]) for point in points if math.isfinite(point.get(name, math.nan))]
        if found:
            steps, values = zip(*found, strict=True)
            axis.plot(steps, values, marker='o' if len(found) < 30 else None, markersize=3, label=name)
