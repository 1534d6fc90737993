"""Soft voting: several networks, or several views of an image, answer as one network."""

# B batch, V views, S votes (members times views), H/W px, C channels, K classes

from collections.abc import Mapping, Sequence
from math import log

import torch
from torch import Tensor, nn

from slipway.errors import ConfigError, unknown

VIEWS: Mapping[str, int] = {"none": 1, "mirror": 2, "mirror_shift": 6}
"""Name of a set of views -> how many times each member looks: at the image; at it and its left-right mirror; at both,
each also shifted up-left and down-right."""
SHIFT = 32
"""Views are shifted by the side divided by this, and by 1 pixel at least; edges are reflected."""


class Voting(nn.Module):
    """The mean probability of all members over all views, as logits: their softmax is that mean.

    It has no weights of its own; its members' are named `members.<i>.<name>`. All views of a batch go through a member in
    one call: in a graph with a copy of the network per view the engine keeps a copy of the filters per view, too, since it
    folds batch norms into them (resnet18, 6 views: 550 MiB more, and no faster).
    """

    def __init__(self, members: Sequence[nn.Module], views: str = "none") -> None:
        """`members`: networks with equal inputs and equal classes; `views`: a name in VIEWS, other than `none` for images only.

        Raises: ConfigError: no member, or unknown views.
        """
        super().__init__()
        if not members:
            raise ConfigError("voting: needs at least one member, got none")
        if views not in VIEWS:
            raise ConfigError(unknown("tta", views, VIEWS))
        self.members = nn.ModuleList(members)
        self.views = views

    def forward(self, *inputs: Tensor, **named: Tensor) -> Tensor:
        """The members' inputs, by position or by name (uint8 [B, H, W, C] images, or token arrays [B, L]) -> logits [B, K]."""
        count = VIEWS[self.views]
        if count > 1:
            (image_BHWC,) = (*inputs, *named.values())
            inputs, named = (look(image_BHWC, self.views),), {}
        votes = [member(*inputs, **named).log_softmax(dim=-1).unflatten(0, (count, -1)) for member in self.members]
        log_p_SBK = torch.cat(votes)
        return log_p_SBK.logsumexp(dim=0) - log(len(self.members) * count)


def look(image_BHWC: Tensor, views: str) -> Tensor:
    """All views of a batch, [V * B, H, W, C]: first the batch as it is, then its second view, and so on.

    Args:
        image_BHWC: of any type; H and W at least 2.
        views: a name in VIEWS.
    """
    if views == "none":
        return image_BHWC
    looks = [image_BHWC, image_BHWC.flip(2)]
    if views == "mirror_shift":
        looks = [moved for view in looks for moved in (view, _shifted(view, 1), _shifted(view, -1))]
    return torch.cat(looks)


def _shifted(image_BHWC: Tensor, sign: int) -> Tensor:
    """The content moved up and left (sign 1), or down and right (sign -1). By indices: torch pads no uint8."""
    for axis in (1, 2):
        last = image_BHWC.shape[axis] - 1
        by = sign * max(1, round((last + 1) / SHIFT))
        at = (torch.arange(last + 1, device=image_BHWC.device) + by).abs()  # reflected at the first pixel,
        image_BHWC = image_BHWC.index_select(axis, last - (last - at).abs())  # and at the last
    return image_BHWC
