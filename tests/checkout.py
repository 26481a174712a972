"""The checkout that is tested."""
from pathlib import Path

ROOT = Path(__file__).parents[1]


def forget_runs() -> None:
    """mmengine keeps one log and one message hub per name, and two runs within a second have the same name."""
    from mmengine.logging import MessageHub, MMLogger
    from mmengine.registry import DefaultScope
    from mmengine.visualization import Visualizer
    for manager in (MessageHub, MMLogger, DefaultScope, Visualizer):
        manager._instance_dict.clear()
