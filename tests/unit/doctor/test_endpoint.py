import re

import pytest

from slipway.cli import main
from slipway.doctor import walks
from tests.helpers.kube_objects import HASH, MODEL, NAMESPACE, POD, container_status, encoded, event, obj

BACKEND = f"{MODEL}-predictor"
ASK = ("endpoint", MODEL, "--namespace", NAMESPACE)


def test_a_healthy_endpoint_is_asked_for_real(cluster, doctor, served):
    code, links = doctor(*ASK)
    assert code == 0
    assert [*links] == [link.name for link in walks.ENDPOINT]
    skipped = {name: said for name, (state, said, _) in links.items() if state == "not looked at"}
    assert skipped == {"release in the store": "pvc://models/cv-digits: not in S3"}
    assert links["answers"][1].endswith(f"version {served[1][:12]}, takes image BYTES")
    assert links["digest"][1] == served[1][:12]
    assert links["route and gateway"][1] == "Gateway gateways/gw at 10.0.0.1"


def no_kserve(api):
    api.remove("InferenceService")


def another_format(api):
    api.get("ServingRuntime", "slipway-serve")["spec"]["supportedModelFormats"] = [{"name": "onnx"}]


def stopped(api):
    api.get("InferenceService", MODEL)["metadata"]["annotations"]["serving.kserve.io/stop"] = "true"


def not_looked_at(api):
    api.get("InferenceService", MODEL)["metadata"]["generation"] = 2


def not_reconciled(api):
    api.remove("Deployment")
    api.put(event(MODEL, "InternalError", "fails to reconcile predictor: no such storage"))


def refused(message):
    def change(api):
        found = api.get("ReplicaSet", f"{BACKEND}-{HASH}")
        api.remove("Pod")
        if "PodSecurity" in message:  # told in events alone
            api.put(event(found["metadata"]["name"], "FailedCreate", message))
        else:
            condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}
            found["status"] = {"conditions": [condition]}

    return change


def unscheduled(message):
    def change(api):
        pod = api.get("Pod", POD)
        del pod["spec"]["nodeName"]
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        pod["status"] = {"phase": "Pending", "conditions": [condition]}

    return change


def container(state, *, last=None, log="", of="containerStatuses", restarts=0, events=()):
    def change(api):
        pod = api.get("Pod", POD)
        name = pod["status"][of][0]["name"]
        pod["status"][of] = [container_status(name, state, last=last, restarts=restarts)]
        if of == "initContainerStatuses":
            pod["status"]["containerStatuses"][0] |= {"ready": False, "state": {"waiting": {"reason": "PodInitializing"}}}
        if log:
            api.logs[NAMESPACE, POD, name] = log
        api.put(*events)

    return change


def ended(code, reason="Error"):
    return {"terminated": {"exitCode": code, "reason": reason}}


def waits(reason, message=""):
    return {"waiting": {"reason": reason, "message": message}}


def route(**changes):
    def change(api):
        found = api.get("HTTPRoute", MODEL)
        for part, value in changes.items():
            found[part] = value

    return change


def unprogrammed(api):
    why = {"type": "Programmed", "status": "False", "reason": "AddressNotAssigned", "message": "no load balancer"}
    api.get("Gateway", "gw")["status"] = {"conditions": [why]}


def empty_service(api):
    api.get("EndpointSlice", f"{BACKEND}-1")["endpoints"] = [{"conditions": {"ready": False}}]


def ingress(api):
    conditions = api.get("InferenceService", MODEL)["status"]["conditions"]
    conditions[:] = [
        {"type": "IngressReady", "status": "False", "reason": "NoGateway", "message": "gateway is missing"},
        {"type": "Ready", "status": "False"},
    ]


def nobody_answers(api):
    api.get("InferenceService", MODEL)["status"]["address"]["url"] = "http://127.0.0.1:9"


def another_model(api):
    api.get("InferenceService", MODEL)["metadata"]["labels"]["slipway.model"] = "cv-letters"


def another_digest(api):
    api.get("InferenceService", MODEL)["metadata"]["annotations"]["slipway/release-digest"] = "cd" * 32


def without(kind, name=""):
    return lambda api: api.remove(kind, name)


CAUSES = [
    (no_kserve, "KServe's type", "does not know serving.kserve.io/v1beta1", "install KServe"),
    (without("Namespace"), "namespace", "no namespace 'team-a'", "--namespace"),
    (without("ServingRuntime"), "runtime", "no ServingRuntime 'slipway-serve' in 'team-a'; there are: none",
     "charts/slipway-models"),
    (another_format, "runtime", "takes onnx, not format 'slipway'", "name a runtime"),
    (stopped, "InferenceService", "stopped by its annotation", "take the annotation away"),
    (without("ServiceAccount"), "service account", "no ServiceAccount 'slipway-models'", "charts/slipway-platform"),
    (without("PersistentVolumeClaim"), "its secret", "no PersistentVolumeClaim 'models'", "make it"),
    (not_looked_at, "controller", "has not looked at this version", "slipway doctor cluster"),
    (not_reconciled, "controller", "no such storage", "change what it says"),
    (refused('pods "x" is forbidden: exceeded quota: team, requested: cpu=2, used: cpu=0, limited: cpu=1'), "pods admitted",
     "exceeded quota: team", "raise ResourceQuota team"),
    (refused('pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true'), "pods admitted",
     "runAsNonRoot != true", "admits restricted pods only"),
    (refused('pods "x" is forbidden: error looking up service account team-a/y: serviceaccount "y" not found'), "pods admitted",
     'serviceaccount "y" not found', "make ServiceAccount y"),
    (unscheduled("0/1 nodes are available: 1 Insufficient cpu."), "pods scheduled", "Insufficient cpu", "ask for less cpu"),
    (unscheduled("0/1 nodes are available: 1 node(s) had untolerated taint {gpu: yes}."), "pods scheduled", "untolerated taint",
     "tolerate the taint {gpu: yes}"),
    (container(waits("ImagePullBackOff", "Back-off"), events=[event(POD, "Failed", "Failed to pull image: not found")]),
     "image", "ImagePullBackOff: Failed to pull image: not found", "imagePullSecrets"),
    (container(waits("CreateContainerConfigError", 'couldn\'t find key K in Secret team-a/s')), "configuration",
     "couldn't find key K", "add key K to Secret team-a/s"),
    (container(waits("CreateContainerConfigError", "container has runAsNonRoot and image will run as root")), "configuration",
     "will run as root", "numeric USER"),
    (container(waits("ContainerCreating"), events=[event(POD, "FailedMount", 'SetUp failed for "v": secret "tls" not found')]),
     "configuration", 'secret "tls" not found', "make Secret tls"),
    (container(waits("CrashLoopBackOff"), last=ended(1), restarts=3, of="initContainerStatuses",
               log="INFO\nbotocore.exceptions.ClientError: An error occurred (403) when calling\n"),
     "download", "code 1 Error, restarted 3 times: botocore.*An error occurred .403", "credential is refused"),
    (container(waits("CrashLoopBackOff"), last=ended(2), restarts=2,
               log='{"message": "listening"}\nerror: /mnt/models: self-test of onnxruntime-fp32 differs by 0.5\n'),
     "server", "ended with code 2, restarted 2 times: error: /mnt/models: self-test", "export it again, or roll back"),
    (container(waits("CrashLoopBackOff"), last=ended(2), log="error: /mnt/models/weights: altered, its SHA-256 is not the one"),
     "server", "altered", "the release is corrupt"),
    (container(waits("CrashLoopBackOff"), last=ended(137, "OOMKilled"), restarts=4), "server",
     "OOMKilled.*limit is 1Gi", "memory limit"),
    (container({"running": {}}, log='{"message": "loading"}', events=[event(POD, "Unhealthy", "Startup probe failed: 503")]),
     "server", "not ready .Startup probe failed: 503.; last line: loading", "kubectl -n team-a logs"),
    (empty_service, "service", "no ready address", "selector"),
    (route(spec={"parentRefs": [{"name": "none"}], "rules": [{"backendRefs": [{"name": BACKEND}]}]}), "route and gateway",
     "no Gateway 'none' in 'team-a'", "gateway.name"),
    (route(status={}), "route and gateway", "has not looked at it", "controller up"),
    (route(status={"parents": [{"parentRef": {"name": "gw", "namespace": "gateways"}, "conditions": [
        {"type": "Accepted", "status": "False", "reason": "NotAllowedByListeners", "message": "other namespaces"}]}]}),
     "route and gateway", "NotAllowedByListeners: other namespaces", "listeners"),
    (unprogrammed, "route and gateway", "not programmed: AddressNotAssigned: no load balancer", "load balancer"),
    (ingress, "condition Ready", "IngressReady is False: NoGateway: gateway is missing", "look again"),
    (nobody_answers, "answers", "does not answer", "network policies"),
    (another_model, "answers", "serves no model 'cv-letters'", "slipway.model"),
    (another_digest, "digest", "the object says cdcdcdcdcdcd", "deploy again"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "link", "cause", "fix"), CAUSES, ids=[f"{i}-{c[1]}" for i, c in enumerate(CAUSES)])
def test_a_cause_is_found_at_its_link_and_told_with_its_fix(cluster, doctor, change, link, cause, fix):
    change(cluster)
    code, links = doctor(*ASK)
    broken = {name: found for name, found in links.items() if found[0] == "broken"}
    assert code == 2
    assert [*broken] == [link]
    assert re.search(cause, broken[link][1]), broken
    assert re.search(fix, broken[link][2]), broken
    after = [*links][[*links].index(link) + 1 :]
    assert all(links[name][:2] == ("not looked at", f"rests on: {link}") for name in after)


def test_an_unknown_name_lists_those_there_are(cluster, doctor):
    _, links = doctor("endpoint", "cv-digit", "--namespace", NAMESPACE)
    assert links["InferenceService"][1] == f"there is no InferenceService 'cv-digit' in 'team-a'; there are: {MODEL}"


def test_a_webhook_that_does_not_answer_is_told(cluster, doctor):
    cluster.admission = (500, 'failed calling webhook "inferenceservice.kserve-webhook-server.defaulter": connection refused')
    _, links = doctor(*ASK)
    assert links["webhook"][0] == "broken"
    assert "controller of webhook inferenceservice.kserve" in links["webhook"][2]


def test_what_the_account_may_not_see_is_not_looked_at(cluster, doctor):
    cluster.admission = (403, 'inferenceservices is forbidden: User "me" cannot create resource "inferenceservices"')
    cluster.forbidden = {"endpointslices"}
    code, links = doctor(*ASK)
    assert code == 0
    assert links["webhook"][0] == links["service"][0] == "not looked at"
    assert 'User "me" cannot list' in links["service"][1]


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"data": encoded({"AWS_ACCESS_KEY_ID": "k"})}, "has no AWS_SECRET_ACCESS_KEY"),
        ({"data": encoded({"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s\n"})}, "ends with white space"),
        ({"data": {}}, "no Secret of ServiceAccount 'slipway-models' has AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ({"endpoint": "http://minio:9000"}, "KServe adds http:// itself"),
        ({"endpoint": None}, "KServe would ask AWS, the namespace's store is http://minio:9000"),
        ({"https": "no"}, "s3-usehttps is 'no'"),
    ],
)
def test_fields_of_the_secret_are_as_kserve_reads_them(cluster, doctor, changes, cause):
    cluster.get("InferenceService", MODEL)["spec"]["predictor"]["model"]["storageUri"] = "s3://slipway/teams/a/models/cv/1"
    cluster.put(obj("ConfigMap", "slipway-run", data={"AWS_ENDPOINT_URL": "http://minio:9000"}))
    secret = cluster.get("Secret", "slipway-models")
    notes = secret["metadata"]["annotations"]
    secret["data"] = changes.get("data", secret["data"])
    for key, name in (("endpoint", "s3-endpoint"), ("https", "s3-usehttps")):
        if key in changes:
            notes.pop(f"serving.kserve.io/{name}")
            notes |= {f"serving.kserve.io/{name}": changes[key]} if changes[key] else {}
    _, links = doctor(*ASK)
    assert links["its secret"][0] == "broken"
    assert cause in links["its secret"][1]


def test_people_see_every_link_then_cause_and_fix(cluster, capsys):
    cluster.remove("ServingRuntime")
    with pytest.raises(SystemExit, match="2"):
        main(["doctor", *ASK])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ok             API server            Kubernetes v1.35.0 at http://127.0.0.1:")
    assert lines[5].startswith("broken         runtime ")
    assert lines[6] == "not looked at  service account       rests on: runtime"
    assert lines[-2].startswith("cause: there is no ServingRuntime 'slipway-serve'")
    assert lines[-1].startswith("fix:   install charts/slipway-models in 'team-a'")


def test_no_cluster_is_a_broken_link(doctor, tmp_path, monkeypatch):
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    code, links = doctor(*ASK)
    assert code == 2
    assert links["API server"][0] == "broken"
    assert links["API server"][2] == "set KUBECONFIG"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["endpoints"], "did you mean 'endpoint'?"),
        (["endpoint"], "write slipway doctor endpoint NAME"),
        (["store", "x"], "without a name"),
    ],
)
def test_wrong_words_are_told(capsys, arguments, words):
    with pytest.raises(SystemExit, match="2"):
        main(["doctor", *arguments])
    assert words in capsys.readouterr().err
