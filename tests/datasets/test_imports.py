"""A task waits for its own packages alone: names of data and metrics are imported when they are looked up."""
import sys

from interpreters import OF_RUNS, run_program
from mmengine.registry import Registry

import densevit.datasets
import densevit.evaluation
import densevit.registry
from densevit.datasets import CocoInstanceDataset

LOOK_UP = """
import sys
from mmengine.registry import DATA_SAMPLERS, DATASETS, METRICS, TRANSFORMS
names = {
    DATASETS: ['CocoInstanceDataset'], DATA_SAMPLERS: ['PositionSampler'], METRICS: ['InstanceMetric'],
    TRANSFORMS: ['LoadImage', 'PadInput', 'ScaleJitterCrop', 'SeedAugmentation', 'UntilSegments']}
for registry, listed in names.items():
    for name in listed:
        assert registry.get(f'densevit.{name}').__name__ == name
found = [name for name in ('albumentations', 'mmdet', 'mmseg', 'densevit.datasets.segmentation', 'densevit.models')
         if name in sys.modules]
assert not found, found
assert DATASETS.get('densevit.CamVidDataset') and 'mmseg' in sys.modules
"""


def test_what_boxes_need__imports_no_other_task():
    run = run_program(LOOK_UP, path=sys.path, imported=OF_RUNS)
    assert run.returncode == 0, run.stderr[-2000:]


def test_every_public_class_is_registered_and_none_else():
    registered = {name for registry in vars(densevit.registry).values() if isinstance(registry, Registry)
                  for name, kind in registry.module_dict.items()
                  if kind.__module__.startswith(('densevit.datasets', 'densevit.evaluation'))}
    public = {*densevit.datasets.__all__, *densevit.evaluation.__all__}
    assert registered == {name for name in public if name[0].isupper()} - {'PanopticCounts'}


def test_names_are_found_in_every_way():
    datasets = densevit.registry.DATASETS
    with Registry.switch_scope_and_registry(datasets.root, 'densevit') as inner:
        assert inner.get('CocoInstanceDataset') is CocoInstanceDataset
    assert datasets.get('densevit.CocoInstanceDataset') is CocoInstanceDataset and 'CocoInstanceDataset' in datasets
    assert datasets.root.get('densevit.CocoInstanceDatasets') is None
