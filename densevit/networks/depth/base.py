"""Networks that estimate depth from one image: in metres, or up to what a single image cannot tell."""
from __future__ import annotations

from torch import Tensor

from ...backbones.contract import Backbone
from ..base import Network
from .losses import DepthLoss
from .prediction import DepthKind, DepthPrediction


class DepthNetwork(Network):
    """(B, 3, H, W) normalised images to the depth of each pixel.

    Args:
        backbone: Gives tokens or maps of normalised (B, 3, H, W) images.
        kind: What ``depth`` is. ``'metric'``: metres (at ``canonical_focal``, if there is one). ``'relative_depth'``:
            depth up to a scale, or a scale and a shift. ``'relative_disparity'``: inverse depth up to a scale and a
            shift, larger where nearer (MiDaS, arXiv:1907.01341, section 5; Depth Anything).
        min_depth, max_depth: The range in metres (at ``canonical_focal``, if there is one: those of an image are
            bounded by ``max_depth * f / canonical_focal``) to which metric predictions are clamped; what is learned
            from is not, for a clamped depth has no gradient. A ``max_depth`` of None: nothing bounds them.
        canonical_focal: The focal length in pixels of the camera whose metres ``depth`` has. With another of f pixels,
            measured on the image as the network sees it (resized images have a resized focal length), metres are
            ``depth * f / canonical_focal`` (Depth Anything 3 metric: 300). None where ``depth`` is what it is.
        sky_threshold: The least ``sky`` where there is sky; 0 is the middle of a sigmoid.

    Raises:
        ValueError: ``kind`` is unknown, or an option belongs to metric depth only.
    """

    loss_class = DepthLoss

    def __init__(
        self,
        backbone: Backbone,
        kind: DepthKind = 'metric',
        min_depth: float = 0.,
        max_depth: float | None = None,
        canonical_focal: float | None = None,
        sky_threshold: float = 0.,
    ) -> None:
        super().__init__(backbone)
        if kind not in ('metric', 'relative_depth', 'relative_disparity'):
            raise ValueError(f"kind='{kind}': choose 'metric', 'relative_depth' or 'relative_disparity'")
        if kind != 'metric' and canonical_focal is not None:
            raise ValueError(f"canonical_focal belongs to depth in metres, kind='metric'; this is kind='{kind}'")
        self.kind: DepthKind = kind
        self.min_depth, self.max_depth = min_depth, max_depth
        self.canonical_focal = canonical_focal
        self.sky_threshold = sky_threshold

    @property
    def needs_focal(self) -> bool:
        """Whether metres depend on the focal length of the camera."""
        return self.canonical_focal is not None

    def answer(self, depth: Tensor, sky: Tensor | None = None) -> DepthPrediction:
        """What ``forward`` returns: clamped outside of train mode."""
        if not self.training and self.kind == 'metric' and self.max_depth is not None:
            depth = depth.clamp(self.min_depth, self.max_depth)
        return DepthPrediction(depth, sky)

    def forward(self, images: Tensor) -> DepthPrediction:
        raise NotImplementedError
