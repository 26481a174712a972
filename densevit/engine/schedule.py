"""EoMT's learning-rate schedule (arXiv:2503.19108, appendix A)."""
from __future__ import annotations

from typing import Any

from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from mmengine.optim.scheduler.param_scheduler import INF, _ParamScheduler

from ..registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class TwoStageWarmupPolyLR(LRSchedulerMixin, _ParamScheduler):
    """Heads warm up first, then the backbone; each then decays polynomially to zero at ``end``.

    Groups of :class:`densevit.engine.LayerDecayConstructor` are told apart by their ``stage``; a group without one
    follows the heads.

    Args:
        head_warmup: Steps over which heads rise from zero while the backbone stands still; below 1, a share of the run.
        backbone_warmup: Steps over which the backbone rises after that; below 1, a share of the run.
        power: The exponent of the polynomial decay.
        end: The last step; the run's length when omitted.
    """

    def __init__(self, optimizer: Any, head_warmup: float = 500, backbone_warmup: float = 1000, power: float = .9,
                 end: int = INF, **kwargs: Any) -> None:
        self.head_warmup, self.backbone_warmup = (
            round(steps * end) if steps < 1 else steps for steps in (head_warmup, backbone_warmup))
        self.power, self.total = power, end
        super().__init__(optimizer, end=end, **kwargs)

    def factor(self, stage: str, step: int) -> float:
        """Share of the base learning rate at a step."""
        begin = self.head_warmup if stage == 'backbone' else 0
        length = self.backbone_warmup if stage == 'backbone' else self.head_warmup
        if step < begin + length:
            return max(0, step - begin) / length
        progress = (step - begin - length) / max(1, self.total - begin - length)
        return max(0., 1. - progress)**self.power

    def _get_value(self) -> list[float]:
        return [
            base * self.factor(group.get('stage', 'head'), self.last_step)
            for base, group in zip(self.base_values, self.optimizer.param_groups, strict=True)
        ]
