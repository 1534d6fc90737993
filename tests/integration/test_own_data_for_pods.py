"""One's own data travels to the store, and a step reads it from there as it would read it here."""

from pathlib import Path

import pytest

from slipway import settings, steps
from slipway.data.datasets import open_dataset
from slipway.data.export import write_folder
from slipway.errors import ConfigError
from slipway.runs.upload import upload
from tests.helpers.minio_server import minio_server, s3_bucket  # noqa: F401

pytestmark = pytest.mark.integration
COMMON = {
    "dataset": "",
    "size": 0,
    "slice_columns": "",
    "train_fraction": 0.8,
    "validation_fraction": 0.1,
    "seed": 0,
    "run_id": "r1",
}


@pytest.mark.parametrize(
    ("family", "dataset", "given"), [("cv", "shapes", "."), ("cv", "shapes", "labels.csv"), ("nlp", "reviews", "texts.csv")]
)
def test_uploaded_data_is_prepared_to_the_same_data_set(s3_bucket, tmp_path, monkeypatch, family, dataset, given):  # noqa: F811
    write_folder(open_dataset(dataset, family=family, size=120), tmp_path / "mine")
    local = tmp_path / "mine" / given
    monkeypatch.setenv("SLIPWAY_STORE", f"s3://{s3_bucket}/team")
    uri = upload(local, family=family, settings=settings.load())
    assert upload(local, family=family, settings=settings.load()) == uri
    columns = {"text_column": "", "label_column": "label", "image_px": 32 if family == "cv" else 0}
    found = [
        steps.prepare_data(
            family=family, data=data, out=tmp_path / name, checked=tmp_path / f"{name}-checked", **columns, **COMMON
        )
        for name, data in (("here", str(local)), ("there", uri))
    ]
    assert found[0]["fingerprint"] == found[1]["fingerprint"]


def test_a_store_that_pods_cannot_reach_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"SLIPWAY_STORE: .* is a folder of this machine"):
        upload(Path(tmp_path), family="cv", settings=settings.load())
