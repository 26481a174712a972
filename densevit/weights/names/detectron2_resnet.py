"""Names of a ResNet inside detectron2's models, brought to those of torchvision and timm."""
from __future__ import annotations

from ..reading import State
from ..renaming import Rule, rename

_BLOCK = r'res(\d)\.(\d+)\.'
_STAGES = {str(stage + 1): f'layer{stage}' for stage in range(1, 5)}  # res2 is layer1
_RULES: tuple[Rule, ...] = (
    (r'stem\.conv1\.norm\.(.+)', r'bn1.\1'),
    (r'stem\.conv1\.(.+)', r'conv1.\1'),
    (_BLOCK + r'conv(\d)\.norm\.(.+)', r'res\1.\2.bn\3.\4'),
    (_BLOCK + r'shortcut\.norm\.(.+)', r'res\1.\2.downsample.1.\3'),
    (_BLOCK + r'shortcut\.(.+)', r'res\1.\2.downsample.0.\3'),
)


def from_detectron2_resnet(state: State) -> State:
    """timm's names for a ResNet of detectron2 with torchvision's stem; another backbone's tensors as they are.

    Args:
        state: Tensors of the backbone by the names behind the model's prefix.
    """
    if 'stem.conv1.weight' not in state or not any(name.startswith('res2.0.conv1.') for name in state):
        return state
    renamed, _ = rename(state, _RULES)
    return {_stage(name): tensor for name, tensor in renamed.items()}


def _stage(name: str) -> str:
    first, dot, rest = name.partition('.')
    return _STAGES[first.removeprefix('res')] + dot + rest if first.startswith('res') else name
