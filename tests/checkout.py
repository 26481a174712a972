"""The checkout that is tested, and what short runs of it leave out."""
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch

ROOT = Path(__file__).parents[1]


def forget_runs() -> None:
    """mmengine keeps one log and one message hub per name, and two runs within a second have the same name."""
    from mmengine.logging import MessageHub, MMLogger
    from mmengine.registry import DefaultScope
    from mmengine.visualization import Visualizer
    for manager in (MessageHub, MMLogger, DefaultScope, Visualizer):
        manager._instance_dict.clear()


CURVES: dict[tuple[str, ...], bytes] = {}


def take_shortcuts(replace: Callable[[Any, str, Any], Any] = setattr) -> None:
    """Leave out what most of a short run's time would go into.

    The text of the config, which every checkpoint has, is not laid out; memory is not swept before a data set is
    packed; and of curves of the same figures, one is drawn.

    Args:
        replace: Sets an attribute of a module.
    """
    from mmengine.dataset import base_dataset
    from yapf.yapflib import yapf_api

    from densevit.engine import curves
    draw = curves.draw_curve

    def draw_once(points: list[dict[str, float]], title: str) -> bytes:
        names = tuple(sorted({name for point in points for name in point}))
        return CURVES.get(names) or CURVES.setdefault(names, draw(points, title))

    replace(yapf_api, 'FormatCode', lambda text, **kwargs: (text, False))
    replace(base_dataset, 'gc', SimpleNamespace(collect=lambda: 0))
    replace(curves, 'draw_curve', draw_once)


@contextmanager
def without_memory() -> Iterator[None]:
    """Modules that are built have shapes and no values, nor does anything work out how those would begin."""
    with (
        torch.device('meta'),
        patch('timm.layers.weight_init._trunc_normal_', lambda tensor, *args, **kwargs: tensor),
        patch('torch.nn.init._no_grad_trunc_normal_', lambda tensor, *args, **kwargs: tensor),
    ):
        yield
