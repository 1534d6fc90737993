"""Charts and manifests together: every object has one owner, every pin says one version, every image is in the one table."""

import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests.helpers import helm

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "manifests"
PARTS = yaml.safe_load((MANIFESTS / "third-party.yaml").read_text(encoding="utf-8"))
IMAGES = yaml.safe_load((MANIFESTS / "images.yaml").read_text(encoding="utf-8"))
NAMESPACES = {"slipway-platform": "slipway", "slipway-models": "vision"}


def kustomized(folder: Path) -> list[dict]:
    """The objects that a kustomization names, by following its resources; patches change none of their names."""
    found = []
    for name in yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]:
        path = (folder / name).resolve()
        if path.is_dir():
            found += kustomized(path)
        elif path.is_file():
            found += [obj for obj in yaml.safe_load_all(path.read_text(encoding="utf-8")) if obj]
    return found


def identity(obj: dict, namespace: str = "") -> tuple[str, str, str, str]:
    meta = obj["metadata"]
    return obj["apiVersion"].partition("/")[0], obj["kind"], meta.get("namespace", namespace), meta["name"]


@pytest.mark.parametrize("overlay", sorted(path.name for path in (MANIFESTS / "overlays").iterdir()))
def test_an_object_has_one_owner(overlay):
    owners = Counter(identity(obj) for obj in kustomized(MANIFESTS / "overlays" / overlay))
    for chart, namespace in NAMESPACES.items():
        most = set().union(
            *({identity(obj, namespace) for obj in helm.template(chart, values, namespace=namespace)}
              for values in helm.values_files(chart))
        )  # fmt: skip
        owners.update(most)
    assert [which for which, n in owners.items() if n > 1] == []


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part["name"])
def test_a_part_is_pinned_to_the_version_it_names(part):
    sources = [part[key] for key in ("apply", "kustomize", "first") if key in part]
    assert sources
    for source in sources:
        if (ROOT / source).is_dir():
            source = (ROOT / source / "kustomization.yaml").read_text(encoding="utf-8")
        assert re.search(rf"[/=]{re.escape(part['version'])}(/|\s|$)", source), source
    assert part["present"]
    assert part["wait"]


def test_the_others_images_are_of_the_versions_that_are_installed():
    versions = {part["name"]: part["version"] for part in PARTS}
    for image, part in {"kserve/": "kserve", "jetstack/": "cert-manager", "envoyproxy/gateway": "envoy-gateway",
                        "prometheus-operator/": "prometheus-operator"}.items():  # fmt: skip
        found = [other for other in IMAGES["others"] if image in other]
        assert found
        assert all(other.endswith(f":{versions[part]}") for other in found), found


@pytest.mark.parametrize("chart", NAMESPACES)
def test_a_chart_names_no_image_that_the_table_lacks(chart):
    ours = {image["repository"] for image in IMAGES["ours"].values()}
    for values in helm.values_files(chart):
        for where, pod in helm.pods(helm.template(chart, values, namespace=NAMESPACES[chart])):
            for container in [*pod.get("initContainers", []), *pod["containers"]]:
                repository = container["image"].partition("@")[0].rpartition("/")[2].partition(":")[0]
                assert repository in ours, (where, container["image"])
