"""Pictures of a validation: input, truth, prediction and error beside each other, in the folder of the run."""
from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmengine.logging import MMLogger

from ..files import write_atomic


class Panel(NamedTuple):
    """A map beside others.

    Attributes:
        name: What stands above it.
        values: (H, W), or (H, W, 3) uint8 in RGB order.
        options: How it is drawn, see matplotlib's ``imshow``.
        unit: How its colours are named, see matplotlib's ``colorbar(format=...)``; None shows no bar.
    """
    name: str
    values: np.ndarray
    options: Mapping[str, Any] = {}
    unit: str | Callable[[float, int], str] | None = None


class ErrorPictures:
    """Files of the first images of a validation, written anew with each.

    Args:
        count: Of how many images.
        kind: The folder in that of the run, ``'depth'``.
        folder: In the place of that of the run, which is that of its log; nothing is drawn where there is neither.
    """

    def __init__(self, count: int, kind: str, folder: str | Path | None = None) -> None:
        self.count, self.kind, self.folder, self._drawn = count, kind, folder, 0

    def draw(self, name: str, panels: Callable[[], Sequence[Panel]], title: str) -> None:
        """Draw an image, unless there are enough.

        Args:
            name: That of its file, without suffix.
            panels: Gives what is drawn.
            title: What stands above.
        """
        if self._drawn >= self.count:
            return
        self._drawn += 1
        log_file = MMLogger.get_current_instance().log_file
        if self.folder is None and log_file is None:
            return
        folder = Path(self.folder or Path(log_file).parent) / self.kind
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(draw_panels(panels(), title), folder / f'{name}.png')

    def begin_anew(self) -> None:
        """Let the next image be the first of a validation."""
        self._drawn = 0


def draw_panels(panels: Sequence[Panel], title: str = '') -> bytes:
    """Draw panels beside each other as PNG.

    Args:
        panels: Of one height and width.
        title: What stands above.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # a second that other users need not wait for
    from matplotlib.figure import Figure  # without pyplot, whose figures and backend are global

    height, width = panels[-1].values.shape[:2]
    figure = Figure(figsize=(3.5 * len(panels), .6 + 3.5 * height / width), layout='constrained')
    FigureCanvasAgg(figure)
    for axis, panel in zip(figure.subplots(1, len(panels)), panels, strict=True):
        shown = axis.imshow(panel.values, **panel.options)
        axis.set_title(panel.name, fontsize=9)
        axis.set_axis_off()
        if panel.unit is not None:
            figure.colorbar(shown, ax=axis, format=panel.unit, shrink=.8)
    if title:
        figure.suptitle(title, fontsize=9)
    file = io.BytesIO()
    figure.savefig(file, format='png', dpi=100)
    return file.getvalue()
