"""Each task says which files it writes, so that none is lost to another's."""
from __future__ import annotations

from inspect import signature

import numpy as np
import pytest

from densevit.inference.instances import InstanceMasks
from densevit.inference.tasks import TASKS
from densevit.inference.tasks.depth import Camera, DepthResult
from densevit.inference.tasks.detection import DetectionResult
from densevit.inference.tasks.matting import MattingResult
from densevit.inference.tasks.restoration import RestorationResult
from densevit.inference.tasks.segmentation import SegmentationResult

IMAGE = np.zeros((20, 30, 3), np.uint8)
ONE = np.ones((20, 30), np.float32)
RESULTS = [
    DepthResult(IMAGE, ONE, 'metric', Camera(np.array([50., 50., 14.5, 9.5]), 'given')),
    DetectionResult(IMAGE, ('cat',), ((1, 2, 3),), np.array([[0, 0, 5, 5]], np.float32), np.zeros(1, np.int64),
                    np.ones(1, np.float32), InstanceMasks.of(iter([ONE > 0]), (20, 30))),
    MattingResult(IMAGE, ONE),
    RestorationResult(IMAGE, IMAGE),
    SegmentationResult.from_semantic(IMAGE, ONE.astype(int), ('cat', 'dog'), None, ONE),
]


@pytest.mark.parametrize('result', RESULTS, ids=lambda result: result.task)
def test_what_is_written_is_declared(result):
    (task,) = [task for task in TASKS if result.task in task.names]
    flags = [name for name, parameter in signature(result.artifacts).parameters.items() if parameter.default is False]

    def is_declared(name: str, options: dict[str, bool]) -> bool:
        known = [file for file, option in task.files.items() if option is None or options.get(option)]
        return any(name == file or (file.endswith('/') and name.startswith(file)) for file in known)

    for options in ({}, *({flag: True} for flag in flags), dict.fromkeys(flags, True)):
        names = [artifact.name for artifact in result.artifacts(**options)]
        assert names[0] == '' and all(is_declared(name, options) for name in names[1:]), (names, options)
    assert {option for option in task.files.values() if option} <= {*flags}


def test_every_task_is_looked_at():
    assert {name for task in TASKS for name in task.names} - {result.task for result in RESULTS} == {
        'instance', 'panoptic'}
