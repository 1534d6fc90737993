"""The data checks on real data with known faults."""

import pytest

from slipway.data.checks.check import check
from slipway.data.checks.config import CheckConfig
from slipway.data.datasets import open_dataset
from slipway.data.prepare import PrepareConfig, prepare

pytestmark = pytest.mark.data

KNOWN = {(6611, 49007), (159, 25768), (7293, 9640), (6080, 9148), (2901, 6801), (896, 22402), (673, 34116), (516, 43161)}
"""The closest pairs of test and training images in ciFAIR's list of duplicates (Barz and Denzler 2020)."""


def checked(name, family, real_data, tmp_path, **options):
    dataset = prepare(open_dataset(name, family=family, root=real_data), tmp_path / "data", PrepareConfig(family=family))
    result = check(dataset, CheckConfig(**options), tmp_path / "out")
    return {finding.check: finding for finding in result.findings}


def test_cifar10_has_the_published_near_duplicates(real_data, tmp_path):
    found = checked("cifar10", "cv", real_data, tmp_path, suspicious_labels="off", listed_items=10_000)
    finding = found["near_across_splits"]
    pairs = {}
    for item in finding.items:
        pairs.setdefault(item.group, {}).update({item.source.split()[0]: int(item.source.split()[1])})
    assert {(pair.get("test"), pair["train"]) for pair in pairs.values()} >= KNOWN
    doubled = {pair["test"] for pair in pairs.values() if "test" in pair}
    assert 250 <= len(doubled) <= 360  # Barz and Denzler: 3.3 % of 10,000
    assert "label_conflicts" not in found


def test_neu_has_the_identical_pair_and_few_others(real_data, tmp_path):
    found = checked("neu_cls", "defect", real_data, tmp_path)
    assert [item.source for item in found["exact_within_split"].items] == ["patches/patches_101.jpg", "patches/patches_105.jpg"]
    near = found.get("near_across_splits")
    assert near is None or near.count <= 15
