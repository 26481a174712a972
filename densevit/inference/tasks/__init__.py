"""The tasks that `predict` knows. A task is a file here and a line below."""
from __future__ import annotations

from typing import TYPE_CHECKING

from ..task import PredictionError, Task
from .depth import Depth
from .detection import Detection
from .matting import Matting
from .restoration import Restoration
from .segmentation import Segmentation

if TYPE_CHECKING:
    from mmengine.structures import BaseDataElement
    from torch import nn

__all__ = ['TASKS', 'read_by', 'tasks_of']

# In order: where two read the same data sample of a model of another library, the first does.
TASKS: tuple[Task, ...] = (
    Detection(),
    Restoration(),
    Segmentation(),
    Depth(),
    Matting(),
)


def tasks_of(model: nn.Module) -> tuple[Task, ...]:
    """The task that a model names as its ``task``; of a model of another library, all that may be."""
    name = getattr(model, 'task', None)
    return tuple(task for task in TASKS if name in task.names) or TASKS


def read_by(sample: BaseDataElement, tasks: tuple[Task, ...]) -> Task:
    """Which of the tasks a model may have reads its data sample.

    Raises:
        PredictionError: None does.
    """
    if len(tasks) == 1:
        return tasks[0]
    for task in tasks:
        if task.reads(sample):
            return task
    raise PredictionError(f'the model predicted {sorted(sample.keys()) or "nothing"}; what can be shown is one of '
                          f'{[name for task in tasks for name in task.fields]}')
