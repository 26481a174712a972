"""By which names a degraded picture and its true one belong together."""
from __future__ import annotations

import re
from itertools import product

# What names of degraded images have behind those of the true ones: 0001x4.png and 0001x4m.png (DIV2K), img_LR.png ...
_END = r'(x\d[a-z]?|[_-]?(?:lq|lr|hq|hr|gt|sr|noisy|clean|input|target))'
_ENDS = re.compile(f'{_END}+$', re.IGNORECASE)
_LAST_END = re.compile(f'{_END}$', re.IGNORECASE)


def name_forms(stem: str) -> tuple[str, str, str]:
    """A name without suffix as it is, without one end such as ``x4`` or ``_LR``, and without all ends."""
    return stem, _LAST_END.sub('', stem) or stem, _ENDS.sub('', stem) or stem


# Which form of the one name is compared with which of the other: names as they are come first, for those of true
# pictures may have such an end as well (box1, box2).
FORMS = tuple(product(range(3), repeat=2))
