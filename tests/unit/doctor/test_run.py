"""Why a run did not succeed: its record, its pods, and what KFP says, in this order."""

import pytest

from slipway import settings
from slipway.errors import GateRefusedError
from slipway.runs import record
from slipway.store.uri import open_store
from tests.helpers.kfp_stub import KfpStub, Run
from tests.helpers.kube_objects import NAMESPACE, container_status, event, obj

RUN = "0b9e4b9e-6d0f-4c55-9d5c-1c7a1f0c5a11"


@pytest.fixture
def step():
    """Leave the record of a step; `error`: that it raised."""

    def leave(name, *, error=None, cut_off=False):
        store = open_store(settings.load().store)
        try:
            with record.step_record(store, RUN, name, inputs={}, parameters={}):
                if error:
                    raise error
                if cut_off:
                    kept = store.get_bytes(f"runs/{RUN}/{name}.json")
        except type(error or RuntimeError()):
            pass
        if cut_off:
            store.put_bytes(f"runs/{RUN}/{name}.json", kept)

    return leave


@pytest.fixture
def kfp(tmp_path, monkeypatch, api):
    """A KFP that knows the run, and a cluster; `state` is what it says of it."""

    with KfpStub(tmp_path / "kfp") as stub:
        stub.runs[RUN] = Run(RUN, {"display_name": "cv"}, tmp_path)
        monkeypatch.setenv("SLIPWAY_KFP_HOST", stub.host)
        monkeypatch.setenv("SLIPWAY_KFP_NAMESPACE", NAMESPACE)
        yield stub


def run_pod(*statuses, phase="Pending", conditions=()):
    spec = {"nodeName": "n", "containers": [{"name": "main", "resources": {"limits": {"memory": "2Gi"}}}]}
    return obj("Pod", "cv-x1", meta={"labels": {"pipeline/runid": RUN}}, spec=spec,
               status={"phase": phase, "conditions": [*conditions], "containerStatuses": [*statuses]})  # fmt: skip


def test_a_run_that_succeeded_has_nothing_broken(doctor, step):
    step("prepare_data")
    code, links = doctor("run", RUN)
    assert code == 0
    assert links["record"][1] == "prepare_data succeeded"
    assert links["outcome"][1] == "succeeded"


def test_a_failed_step_tells_its_own_error_and_what_helps(doctor, step):
    step("prepare_data")
    step("gate", error=GateRefusedError("accuracy 0.5 is under the floor 0.9"))
    code, links = doctor("run", RUN)
    assert code == 2
    assert links["record"][1] == "step gate, attempt 1: GateRefusedError: accuracy 0.5 is under the floor 0.9"
    assert "the gate works as meant" in links["record"][2]


def test_an_unknown_run_lists_the_latest(doctor, step):
    step("prepare_data")
    code, links = doctor("run", "cv-other")
    assert code == 2
    assert links["record"][1].endswith(f"has no run 'cv-other'; the latest are {RUN}")


def test_an_unknown_run_of_a_cluster_is_told(doctor, kfp):
    code, links = doctor("run", "11111111-1111-1111-1111-111111111111")
    assert code == 2
    assert links["KFP"][0] == "broken"


def test_kfp_that_does_not_answer_is_told(doctor, step, monkeypatch):
    step("train", cut_off=True)
    monkeypatch.setenv("SLIPWAY_KFP_HOST", "http://127.0.0.1:9")
    code, links = doctor("run", RUN)
    assert code == 2
    assert links["KFP"][2] == "is it running, and the port-forward open?"


@pytest.mark.parametrize(
    ("pod", "link", "cause", "fix"),
    [
        (run_pod(conditions=[{"type": "PodScheduled", "status": "False", "message": "1 Insufficient nvidia.com/gpu."}]),
         "pods scheduled", "Insufficient nvidia.com/gpu", "ask for less nvidia.com/gpu"),
        (run_pod(container_status("main", {"waiting": {"reason": "InvalidImageName", "message": "bad name"}})),
         "image", "InvalidImageName: bad name", "is the name right"),
        (run_pod(container_status("main", {"waiting": {"reason": "CreateContainerConfigError",
                                                       "message": 'configmap "slipway-run" not found'}})),
         "configuration", 'configmap "slipway-run" not found', "make ConfigMap slipway-run"),
    ],
)  # fmt: skip
def test_a_pod_that_does_not_start_is_told(doctor, kfp, api, pod, link, cause, fix):
    kfp.runs[RUN].state = "RUNNING"
    api.put(pod)
    code, links = doctor("run", RUN)
    assert code == 2
    assert cause in links[link][1]
    assert fix in links[link][2]


def test_a_step_killed_for_want_of_memory_is_told(doctor, kfp, api, step):
    step("train", cut_off=True)
    kfp.runs[RUN].state = "FAILED"
    api.put(run_pod(container_status("main", {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}), phase="Failed"))
    _, links = doctor("run", RUN)
    assert "OOMKilled), its limit is 2Gi" in links["containers"][1]


def test_what_only_kfp_knows_is_told(doctor, kfp, step):
    """A pod that the quota refuses was never there."""
    kfp.runs[RUN].state = "RUNNING"
    why = 'pods "cv-x" is forbidden: exceeded quota: team, requested: pods=1, used: pods=9, limited: pods=9'
    kfp.workflow_nodes[RUN] = {
        "t": {"type": "DAG", "displayName": "prepare-data", "phase": "Running", "boundaryID": "root"},
        "p": {"type": "Pod", "displayName": "executor", "phase": "Error", "message": why, "boundaryID": "t"},
    }
    code, links = doctor("run", RUN)
    assert code == 2
    assert links["KFP's steps and logs"][1:] == (
        f"step prepare_data, waiting: to be tried again after: {why}",
        "raise ResourceQuota team, or ask for less (resources, minReplicas)",
    )


def test_a_run_at_work_is_not_broken(doctor, kfp, api, step):
    step("train", cut_off=True)
    kfp.runs[RUN].state = "RUNNING"
    api.put(run_pod(container_status("main", {"running": {}}), phase="Running"), event("cv-x1", "Pulled", "fine"))
    code, links = doctor("run", RUN)
    assert code == 0
    assert links["outcome"][1] == "is at work"


def test_a_run_that_somebody_ended_says_so(doctor, kfp, step):
    step("prepare_data")
    kfp.runs[RUN].state = "CANCELED"
    code, links = doctor("run", RUN)
    assert code == 2
    assert links["outcome"][1] == "it was cancelled"


def test_an_end_that_nothing_explains_says_so(doctor, kfp, step):
    step("train", cut_off=True)
    kfp.runs[RUN].state = "FAILED"
    code, links = doctor("run", RUN)
    assert code == 2
    assert links["outcome"][1] == "step train ended before it could say why: killed, or out of memory?"
