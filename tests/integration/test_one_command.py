"""One command: from raw data to a gated, registered, served model, for every family."""

import csv
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from slipway import bundle as bundles
from slipway.data.dataset import Dataset
from slipway.data.raw import KINDS
from slipway.deploy.check import serve_and_compare
from slipway.models.restore import restore
from slipway.tracking import registry
from tests.helpers.command import outcome, slipway
from tests.helpers.minio_server import minio_server, s3_bucket  # noqa: F401
from tests.helpers.servers import process, ready_line

pytestmark = pytest.mark.integration
SMALL = {
    "nlp": ["--set", "size=800"],
    "cv": ["--set", "size=600", "--set", "epochs=10", "--set", "min_accuracy=0.3", "--set", "min_class_recall=0"],
    "defect": [
        *("--set", "size=400", "--set", "epochs=10", "--set", "min_accuracy=0", "--set", "min_class_recall=0"),
        *("--set", "variants=all", "--set", "max_variant_drop=0.2"),
    ],
}
FAMILIES = [pytest.param(f, marks=[] if f == "nlp" else [pytest.mark.slow]) for f in SMALL]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """One SLIPWAY_HOME for the module, in place of each test's own."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLIPWAY_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def ran(home, tmp_path_factory):
    """What `slipway run FAMILY --json` prints, once per family."""
    outcomes = {}

    def run(family: str) -> dict:
        if family not in outcomes:
            outcomes[family] = outcome(family, *SMALL[family], cwd=tmp_path_factory.mktemp(family))
        return outcomes[family]

    return run


@pytest.fixture(autouse=True)
def same_home(home, monkeypatch):
    monkeypatch.setenv("SLIPWAY_HOME", str(home))


def artifact(home: Path, run_id: str, name: str) -> Path:
    """Directory of a step's output, where KFP's runner put it."""
    found = [p.parent for p in (home / "runs" / run_id).rglob(f"{name}/MANIFEST.json")]
    assert len(found) == 1, found
    return found[0]


def test_every_family_has_a_run():
    assert set(SMALL) == set(KINDS)


@pytest.mark.slow
def test_of_several_variants_the_fastest_within_the_budget_is_scored_and_served(ran):
    o = ran("defect")
    release = bundles.load(Path(registry.champion(o["model"]).release_uri), prove=True)
    assert release.variant == release.release["variant"] == release.release["order"][0]
    assert release.release["order"][-1] == bundles.BASE
    assert release.passed_over == {}
    assert o["run"] in release.card
    assert {*release.release["order"]} <= {*release.meta["variants"]}
    assert len(release.meta["variants"]) >= 4


@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_ends_gated_registered_and_served(ran, family):
    o = ran(family)
    assert set(o) >= {"run", "family", "model", "version", "digest", "verdict", "reasons", "metrics", "endpoint"}
    assert (o["family"], o["verdict"], o["version"]) == (family, "pass", 1)
    assert o["metrics"]["accuracy_low"] <= o["metrics"]["accuracy"] <= o["metrics"]["accuracy_high"]
    champion = registry.champion(o["model"])
    assert champion is not None
    assert champion.release_digest == o["digest"]
    assert o["endpoint"].endswith(f"/v2/models/{o['model']}/infer")


@pytest.mark.parametrize("family", FAMILIES)
def test_equal_bytes_give_equal_probabilities_in_training_in_the_bundle_and_over_http(ran, home, family):
    o = ran(family)
    dataset = Dataset.load(artifact(home, o["run"], "prepared"))
    champion = registry.champion(o["model"])
    assert champion is not None
    release = Path(champion.release_uri)
    bundle = bundles.load(release, variant=bundles.BASE)
    items = dataset.raw("test")[:20]
    restored = restore(artifact(home, o["run"], "checkpoint"))
    logits = restored.logits(restored.preprocess.encode(items)) / bundle.meta["calibration"]["temperature"]
    trained = np.exp(logits - logits.max(axis=1, keepdims=True))
    trained /= trained.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(bundle.predict(items), trained, atol=1e-4)
    served = bundles.load(release).predict(items)
    report = serve_and_compare(champion.release_uri, "m", items, served)
    assert report["n"] >= 200
    assert report["max_difference"] <= 1e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_in_the_store_is_a_pickle(ran, home, family):
    """By content, not by name: pickles start with the protocol mark, torch's archives hold a data.pkl."""
    ran(family)
    for path in (p for p in (home / "store").rglob("*") if p.is_file()):
        data = path.read_bytes()
        assert not (data[:1] == b"\x80" and data[1:2] in b"\x02\x03\x04\x05"), path
        if zipfile.is_zipfile(path):
            names = zipfile.ZipFile(path).namelist()
            assert all(name.endswith(".npy") for name in names), path
            with np.load(path, allow_pickle=False) as arrays:
                assert all(arrays[key].dtype != object for key in arrays), path


def test_a_second_run_is_compared_with_the_champion(ran, tmp_path):
    first = ran("nlp")
    second = outcome("nlp", *SMALL["nlp"], cwd=tmp_path)
    assert second["verdict"] == "pass"
    assert "the champion is this very bundle" in " ".join(second["reasons"])
    assert second["model"] == first["model"]


def test_a_worse_model_is_refused_with_exit_code_3_and_leaves_no_version(ran, tmp_path):
    first = ran("nlp")
    before = len(registry.versions(first["model"]))
    refused = outcome("nlp", *SMALL["nlp"], "--set", "max_features=5", "--set", "min_accuracy=0.3", cwd=tmp_path, code=3)
    assert (refused["verdict"], refused["version"], refused["endpoint"]) == ("fail", None, None)
    assert refused["reasons"]
    assert len(registry.versions(first["model"])) == before


def test_a_mistake_in_the_data_is_one_line_and_exit_code_2(tmp_path):
    (tmp_path / "texts.csv").write_text("review,label\nfine,yes\nbad,no\n")
    done = slipway("run", "nlp", "--data", "texts.csv", "--text-column", "revue", cwd=tmp_path)
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert "did you mean 'review'?" in errors[0]
    assert "Traceback" not in done.stderr


def test_nothing_is_written_to_the_current_folder(ran, tmp_path):
    outcome("nlp", *SMALL["nlp"], cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_own_class_folders_run_by_path(tmp_path):
    """The README runs a table of pictures."""
    assert slipway("generate", "shapes", "parts", "--size", "400", cwd=tmp_path).returncode == 0
    with (tmp_path / "parts/labels.csv").open(encoding="utf-8", newline="") as f:
        rows = list(csv.DictReader(f))
    for row in rows:
        (tmp_path / "folders" / row["label"]).mkdir(parents=True, exist_ok=True)
        (tmp_path / "parts" / row["image"]).rename(tmp_path / "folders" / row["label"] / Path(row["image"]).name)
    o = outcome("cv", "--data", "folders", "--name", "own-folders", "--set", "robustness_items=0", cwd=tmp_path)
    assert (o["verdict"], o["version"]) == ("pass", 1)


@pytest.mark.slow
def test_with_an_s3_store_the_release_lies_there_and_is_served_from_there(s3_bucket, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SLIPWAY_STORE", f"s3://{s3_bucket}/team")
    o = outcome("nlp", *SMALL["nlp"], cwd=tmp_path)
    release = f"s3://{s3_bucket}/team/models/{o['model']}/{o['digest']}"
    champion = registry.champion(o["model"])
    assert champion is not None
    assert champion.release_uri == release
    with process(f"m={release}", "--port", "0", "--cache", str(tmp_path / "cache")) as server:
        assert ready_line(server)["models"][0]["digest"] == o["digest"]
    record = json.loads(slipway("show", o["run"], "--json", cwd=tmp_path).stdout)
    service = record["deploy_model"]["results"]["inference_service"]
    assert service["spec"]["predictor"]["model"]["storageUri"] == release
