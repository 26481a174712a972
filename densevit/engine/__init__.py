"""Training loop, hooks, schedules and optimizer groups that mmengine lacks."""
from .annealing import MaskAnnealingHook
from .atomic import AtomicLocalBackend, write_atomic
from .autocast import AutocastOptimWrapper
from .layer_decay import LayerDecayConstructor
from .loop import SeededIterLoop
from .schedule import TwoStageWarmupPolyLR

__all__ = [
    'AtomicLocalBackend', 'AutocastOptimWrapper', 'LayerDecayConstructor', 'MaskAnnealingHook', 'SeededIterLoop',
    'TwoStageWarmupPolyLR', 'write_atomic'
]
