"""The checkout that is tested, and its tools."""
import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[1]


def load_tool(name: str):
    """A file of tools/ as a module."""
    spec = importlib.util.spec_from_file_location(f'densevit_tools_{name}', ROOT / 'tools' / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def forget_runs() -> None:
    """mmengine keeps one log and one message hub per name, and two runs within a second have the same name."""
    from mmengine.logging import MessageHub, MMLogger
    from mmengine.registry import DefaultScope
    from mmengine.visualization import Visualizer
    for manager in (MessageHub, MMLogger, DefaultScope, Visualizer):
        manager._instance_dict.clear()
