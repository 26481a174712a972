"""Names of checkpoints for :class:`densevit.networks.segmentation.ECOMask2FormerNet`: a Mask2Former's, with no gate."""
from __future__ import annotations

from dataclasses import replace

from ...networks.segmentation import ECOMask2FormerNet
from ..reading import State
from ..renaming import common_prefix, split_prefix
from ..translate import OWN, Translated, read_around, reads
from .mask2former import read_mask2former

_GATE = ('exit_gate.', )


@reads(ECOMask2FormerNet)
def read_eco(state: State, module: ECOMask2FormerNet) -> Translated | None:
    """Recognise a Mask2Former, ours or another; the gate, which learns afterwards, is kept."""
    prefix = common_prefix(state, [name for name in module.state_dict() if not name.startswith(_GATE)])
    if prefix is not None:
        return Translated(OWN, *split_prefix(state, prefix), unfilled=_GATE)
    found = read_mask2former(state)
    translated = found and read_around(found, module)
    return translated and replace(translated, unfilled=(*translated.unfilled, *_GATE))
