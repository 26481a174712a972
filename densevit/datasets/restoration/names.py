"""By which names a degraded picture and its true one belong together."""
from __future__ import annotations

import re

# What names of degraded images have behind those of the true ones: 0001x4.png (DIV2K), img_LR.png ...
_ENDS = re.compile(r'(x\d|[_-]?(?:lq|lr|hq|hr|gt|sr|noisy|clean|input|target))+$', re.IGNORECASE)


def pair_name(stem: str) -> str:
    """The name, without suffix, that both pictures of a pair have: without an end such as ``x4`` or ``_LR``."""
    return _ENDS.sub('', stem) or stem
