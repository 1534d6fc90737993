"""What we set in a KFP of its own making fits what our pods, pipelines and commands expect of it."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from slipway.deploy.pod import STORE_KEYS, STORE_SECRET
from slipway.runs.kfp_api import ARTIFACTS
from slipway.tracking.runs import EXPERIMENT
from tests.helpers.servers import REPOSITORY

SETTINGS = REPOSITORY / "manifests/kfp/settings"
BARE = {
    "configmap": ("pipeline-install-config", "kfp-launcher", "workflow-controller-configmap"),
    "deployment": {"workflow-controller": "workflow-controller", "ml-pipeline": "ml-pipeline-api-server"},
}
"""What KFP's installs have that our settings go over; of a deployment, its container."""


def document(name: str) -> dict:
    return yaml.safe_load((SETTINGS / name).read_text(encoding="utf-8"))


def test_the_launcher_puts_artifacts_where_slipway_looks_and_has_the_teams_credential():
    data = document("launcher.yaml")["data"]
    assert data["defaultPipelineRoot"].endswith(f"/{ARTIFACTS}")
    credentials = yaml.safe_load(data["providers"])["s3"]["default"]["credentials"]
    assert credentials["secretRef"]["secretName"] == STORE_SECRET
    assert (credentials["secretRef"]["accessKeyKey"], credentials["secretRef"]["secretKeyKey"]) == STORE_KEYS


def test_a_steps_own_retries_are_those_that_count():
    defaults = yaml.safe_load(document("workflow-defaults.yaml")["data"]["workflowDefaults"])["spec"]["templateDefaults"]
    assert defaults["retryStrategy"] == {"limit": "0", "retryPolicy": "Always"}


def test_tasks_are_given_their_mlflow_run_in_our_experiment():
    plugin = json.loads((SETTINGS / "api-server.json").read_text(encoding="utf-8"))["plugins"]["mlflow"]
    assert plugin["settings"]["injectUserEnvVars"] is True
    assert plugin["settings"]["defaultExperimentName"] == EXPERIMENT
    assert plugin["endpoint"] == "http://slipway-mlflow.slipway.svc:5000", "the Service of the chart's default release"


@pytest.fixture
def rendered(tmp_path) -> dict[tuple[str, str], dict]:
    """The settings over objects of KFP's names, by kind and name."""
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl here")
    objects = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "kubeflow"}, "data": {"kept": "yes"}}
        for name in BARE["configmap"]
    ]
    for name, container in BARE["deployment"].items():
        spec = {"containers": [{"name": container, "image": "kfp:2.17.0", "env": [{"name": "KEPT", "value": "yes"}]}]}
        objects.append(
            {
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "kubeflow"},
                "spec": {"selector": {}, "template": {"spec": spec}},
            }
        )  # fmt: skip
    (tmp_path / "kfp.yaml").write_text(yaml.safe_dump_all(objects), encoding="utf-8")
    shutil.copytree(SETTINGS, tmp_path / "settings")
    overlay = {"resources": ["kfp.yaml"], "components": ["settings"]}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay), encoding="utf-8")
    done = subprocess.run(["kubectl", "kustomize", str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return {(d["kind"], d["metadata"]["name"]): d for d in yaml.safe_load_all(done.stdout)}


def test_the_settings_go_over_kfps_objects_and_keep_the_rest(rendered):
    for name in BARE["configmap"]:
        data = rendered["ConfigMap", name]["data"]
        assert data["kept"] == "yes"
        assert len(data) > 1, f"{name}: nothing of ours arrived"
    (controller,) = rendered["Deployment", "workflow-controller"]["spec"]["template"]["spec"]["containers"]
    assert {e["name"]: e["value"] for e in controller["env"]} == {"KEPT": "yes", "DEFAULT_REQUEUE_TIME": "1s"}
    pod = rendered["Deployment", "ml-pipeline"]["spec"]["template"]["spec"]
    (mounted,) = pod["volumes"]
    made = rendered["ConfigMap", mounted["configMap"]["name"]]
    assert json.loads(made["data"]["config.json"])["DBDriverName"] == "mysql", "KFP's own settings are in it, too"


def test_the_install_is_the_pinned_one_with_the_settings():
    kustomization = yaml.safe_load(Path(SETTINGS.parent / "kustomization.yaml").read_text(encoding="utf-8"))
    pinned = yaml.safe_load((REPOSITORY / "manifests/third-party.yaml").read_text(encoding="utf-8"))
    (kfp,) = (part for part in pinned if part["name"] == "kubeflow-pipelines")
    assert kfp["kustomize"] == "manifests/kfp"
    assert kustomization["components"] == ["settings"]
    (base,) = kustomization["resources"]
    assert base.endswith(f"?ref={kfp['version']}")
    assert kfp["first"].endswith(f"?ref={kfp['version']}")
