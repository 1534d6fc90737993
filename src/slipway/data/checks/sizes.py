"""Images whose original size is unlike that of the others."""

# N items

import numpy as np

from slipway.data.checks.config import CheckConfig
from slipway.data.checks.found import Found, NotMade, Outcome
from slipway.data.checks.items import Items
from slipway.data.split import SPLITS


def odd_sizes(items: Items, config: CheckConfig) -> Outcome:
    """Images whose width, height or aspect is far from the median, the farthest first."""
    by_split = [sizes for split in SPLITS if (sizes := items.dataset.sizes(split)) is not None]
    if len(by_split) < len(SPLITS):
        return NotMade("the data set was prepared by a version that did not keep sizes; prepare it again")
    size_N2 = np.concatenate(by_split).astype(np.float64)
    measures = np.log(np.stack([size_N2[:, 0], size_N2[:, 1], size_N2[:, 0] / size_N2[:, 1]], 1))
    away_N = np.abs(measures - np.median(measures, axis=0)).max(1)
    odd = np.flatnonzero(away_N > np.log(config.odd_size_factor))
    if not len(odd):
        return None
    odd = odd[np.argsort(-away_N[odd], kind="stable")]
    width, height = np.median(size_N2, axis=0)
    return Found(
        count=len(odd),
        message=f"{len(odd)} of {len(items)} images are more than {config.odd_size_factor:g} times wider, higher or of another "
        f"aspect than the median, {width:.0f}x{height:.0f} px",
        advice="remove what does not belong, or crop it to the part that shows the label",
        groups=[[int(i)] for i in odd],
        notes=[f"{size_N2[i, 0]:.0f}x{size_N2[i, 1]:.0f} px" for i in odd],
    )
