"""Training loop, hooks, schedules and optimizer groups that mmengine lacks."""
from .atomic import AtomicLocalBackend
from .autocast import AutocastOptimWrapper
from .checkpoints import AtomicCheckpointHook
from .curves import CurveHook
from .early_stopping import PatienceHook
from .guards import CheckModelHook, DataCheckHook, NonFiniteLossHook
from .initial_weights import InitialWeightsHook
from .layer_decay import LayerDecayConstructor
from .loop import SeededIterLoop
from .memory_format import ChannelsLastHook
from .progress import ProgressHook
from .run_progress import ProgressOfRunHook
from .sample_visualizer import SampleVisualizer
from .schedule import TwoStageWarmupPolyLR
from .wrappers import CPUDistributedDataParallel

__all__ = [
    'AtomicCheckpointHook', 'AtomicLocalBackend', 'AutocastOptimWrapper', 'CPUDistributedDataParallel',
    'ChannelsLastHook', 'CheckModelHook', 'CurveHook', 'DataCheckHook', 'InitialWeightsHook', 'LayerDecayConstructor',
    'NonFiniteLossHook', 'PatienceHook', 'ProgressHook', 'ProgressOfRunHook', 'SampleVisualizer', 'SeededIterLoop',
    'TwoStageWarmupPolyLR'
]
