"""What pipelines promise: golden files, one table of resources, typed forms, thin components."""

import importlib
import inspect
from pathlib import Path

import pytest

import slipway
from slipway import steps
from slipway.errors import ConfigError
from slipway.pipelines import compile as compile_
from slipway.pipelines import lint, resources
from slipway.runs.parameters import compiled, families, parameters
from tests.helpers.kfp_stub import validate

COMPONENTS = Path(slipway.__file__).parent / "components"
FILES = sorted(path for path in COMPONENTS.glob("*.py") if path.stem not in ("__init__", "images"))


def test_golden_files_are_what_the_sources_compile_to():
    assert compile_.stale() == [], "run `make compile`"


def test_a_stale_golden_file_is_named(monkeypatch, tmp_path, capsys):
    for family in compile_.FAMILIES:
        (tmp_path / f"{family}.yaml").write_bytes(compiled(family).read_bytes())
    changed = compiled("cv").read_text().replace("Classify pictures", "Classify things")
    (tmp_path / "cv.yaml").write_text(changed)
    monkeypatch.setattr(compile_, "COMPILED", tmp_path)
    assert compile_.main(["--check"]) == 1
    assert "cv.yaml: stale; run `make compile`" in capsys.readouterr().err
    assert (tmp_path / "cv.yaml").read_text() == changed, "--check changes nothing"


def test_every_family_has_a_pipeline():
    from slipway.models.families import FAMILIES

    assert set(compile_.FAMILIES) == set(families()) == set(FAMILIES)


@pytest.mark.parametrize("family", compile_.FAMILIES)
def test_a_golden_file_has_no_findings_but_its_placeholder_image(family):
    ir, platform = lint.load(compiled(family))
    assert lint.lint(ir, platform, submitting=False) == []
    findings = lint.lint(ir, platform, submitting=True)
    assert len(findings) == len(ir["deploymentSpec"]["executors"])
    assert all("is the placeholder" in finding for finding in findings)


@pytest.mark.parametrize("family", compile_.FAMILIES)
def test_a_golden_file_parses_as_kfps_messages(family):
    validate(*lint.load(compiled(family)))


@pytest.mark.parametrize("family", compile_.FAMILIES)
def test_every_step_gets_its_needs_from_the_table(family):
    ir, platform = lint.load(compiled(family))
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    tasks = {name: task for _, dag in lint.dags(ir) for name, task in dag.items() if not name.startswith("condition")}
    assert len(tasks) == len(resources.NEEDS)
    for name, task in tasks.items():
        needs = resources.NEEDS["train" if name.startswith("train-") else name.replace("-", "_")]
        executor, container = executors[f"exec-{name}"], ir["deploymentSpec"]["executors"][f"exec-{name}"]["container"]
        assert int(executor["activeDeadlineSeconds"]) == needs.timeout_s
        assert executor["securityContext"] == {"runAsNonRoot": True}
        assert container["resources"]["resourceMemoryLimit"] == needs.memory
        assert {e["name"]: e["value"] for e in container["env"]}["SLIPWAY_THREADS"] == str(needs.cpus)
        assert task.get("retryPolicy", {}).get("maxRetryCount", 0) == needs.retries
        assert not task["cachingOptions"].get("enableCache"), "a step's inputs are more than its arguments"
        required = {k["configMapKey"] for m in executor["configMapAsEnv"] if not m.get("optional") for k in m["keyToEnv"]}
        assert required == set(resources.REQUIRED_KEYS)
        assert [s["optional"] for s in executor["secretAsEnv"]] == [True]


def test_retries_are_not_ended_by_their_own_clock():
    """Argo counts the longest back-off from the first start of the step."""
    for family in compile_.FAMILIES:
        for _, tasks in lint.dags(lint.load(compiled(family))[0]):
            for name, task in tasks.items():
                if policy := task.get("retryPolicy"):
                    needs = resources.NEEDS["train" if name.startswith("train-") else name.replace("-", "_")]
                    assert float(policy["backoffMaxDuration"][:-1]) >= (needs.retries + 1) * needs.timeout_s


def test_an_unknown_step_has_no_needs():
    with pytest.raises(ConfigError, match="unknown 'trian'; did you mean 'train'"):
        resources.apply(None, "trian")


def test_families_share_the_names_of_their_parameters():
    shared = set.intersection(*(set(parameters(family)) for family in families()))
    assert shared == {
        "dataset", "data", "model_name", "size", "label_column", "train_fraction", "validation_fraction", "seed",
        "architecture", "epochs", "batch_size", "learning_rate", "weight_decay", "label_smoothing", "augment",
        "variants", "max_variant_drop",
        "precision", "device", "deterministic", "min_accuracy", "min_class_recall", "max_accuracy_drop",
        "min_test_items", "rules", "checks", "slice_columns", "robustness_items", "promote", "namespace", "options",
    }  # fmt: skip
    for name in shared:
        assert len({parameters(family)[name].type for family in families()}) == 1, name


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_component_is_thin_and_calls_one_step(path):
    source = path.read_text()
    assert len(source.splitlines()) <= 30
    assert "from __future__" not in source
    assert source.count("steps.") == 1
    component = getattr(importlib.import_module(f"slipway.components.{path.stem}"), path.stem)
    assert component.name == path.stem.replace("_", "-"), "one component a file, named for it"


@pytest.mark.parametrize("family", compile_.FAMILIES)
def test_training_components_hand_on_every_option_of_the_family(family):
    import ast

    from slipway.training.recipe import TrainConfig

    (call,) = (
        node
        for node in ast.walk(ast.parse((COMPONENTS / f"train_{family}.py").read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "steps.train"
    )
    named = {keyword.arg for keyword in call.keywords}
    plain = {name for name, p in inspect.signature(steps.train).parameters.items() if p.kind is p.KEYWORD_ONLY}
    assert plain - {"publish"} <= named, "a pipeline's artifacts are KFP's to publish"
    assert named - plain <= set(inspect.signature(TrainConfig).parameters)
