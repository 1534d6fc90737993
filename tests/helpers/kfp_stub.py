"""A KFP API server for tests: strict about every body, and it runs what is submitted.

Bodies are checked against the models of kfp_server_api, against PipelineSpec and KubernetesExecutorConfig, and
parameters against the pipeline's, as the real server does. A run is executed by KFP's local runner in a process of its
own, each step with the environment its pod would have: container variables, ConfigMap and Secret keys. As in a cluster,
a run whose step lacks a required key stays RUNNING. A recurring run starts one when `fire` says that its time has come.
"""

import json
import os
import subprocess
import sys
import threading
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

ROOT = Path(__file__).resolve().parents[2]


INT64 = ("max_concurrency",)
"""Texts in the models; the real server reads numbers, too."""


class RefusedError(Exception):
    """Answer 400 with this message."""


@dataclass
class Run:
    run_id: str
    body: dict
    folder: Path
    state: str = "PENDING"
    process: subprocess.Popen | None = None
    recurring: str = ""
    """Id of the recurring run that started it."""


@dataclass
class KfpStub:
    folder: Path
    """Where runs are executed."""
    config_maps: dict = field(default_factory=dict)
    """Name -> keys and values."""
    secrets: dict = field(default_factory=dict)
    runs: dict = field(default_factory=dict)
    experiments: dict = field(default_factory=dict)
    recurring: dict = field(default_factory=dict)
    """Id -> body of every recurring run."""
    workflow_nodes: dict = field(default_factory=dict)
    """Run id -> nodes of its workflow, as Argo has them: what the old API hands out."""
    requests: list = field(default_factory=list)
    """Method and path of every request."""
    page_size: int = 200
    """Recurring runs on a page at most."""
    fail_next: int = 0
    """Answer so many requests with 503."""

    def __enter__(self):
        handler = type("Handler", (_Handler,), {"stub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_):
        for run in self.runs.values():
            if run.process is not None and run.process.poll() is None:
                run.process.kill()
                run.process.wait()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def host(self):
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    # what the routes do

    def healthz(self, _query, _body):
        return {"multi_user": False}

    def list_experiments(self, query, _body):
        wanted = json.loads(query["filter"][0])["predicates"][0]["stringValue"]
        return {"experiments": [e for e in self.experiments.values() if e["display_name"] == wanted]}

    def create_experiment(self, _query, body):
        strict(body, "V2beta1Experiment")
        experiment = {**body, "experiment_id": str(uuid.uuid4())}
        self.experiments[experiment["experiment_id"]] = experiment
        return experiment

    def create_run(self, _query, body):
        strict(body, "V2beta1Run")
        if body["experiment_id"] not in self.experiments:
            raise RefusedError(f"experiment {body['experiment_id']} not found")
        ir, platform = body["pipeline_spec"]["pipeline_spec"], body["pipeline_spec"].get("platform_spec", {})
        validate(ir, platform)
        check_parameters(ir, body["runtime_config"].get("parameters", {}))
        run = Run(str(uuid.uuid4()), body, self.folder)
        self.runs[run.run_id] = run
        self._execute(run, ir, platform)
        return self.show(run)

    def get_run(self, run_id):
        run = self.runs[run_id]
        if run.process is not None and run.process.poll() is not None and run.state == "RUNNING":
            run.state = "SUCCEEDED" if run.process.returncode == 0 else "FAILED"
        return self.show(run)

    def create_recurring_run(self, _query, body):
        strict(body, "V2beta1RecurringRun")
        if body["experiment_id"] not in self.experiments:
            raise RefusedError(f"experiment {body['experiment_id']} not found")
        ir, platform = body["pipeline_spec"]["pipeline_spec"], body["pipeline_spec"].get("platform_spec", {})
        validate(ir, platform)
        check_parameters(ir, body["runtime_config"].get("parameters", {}))
        cron = body["trigger"]["cron_schedule"]["cron"]
        if len(cron.split()) != 6 or "bad" in cron:
            raise RefusedError(f"Schedule cron is not a supported format: {cron}")
        if not 1 <= int(body["max_concurrency"]) <= 10:
            raise RefusedError("Max concurrency of a recurring run must be at least 1 and at most 10")
        made = {**body, "recurring_run_id": str(uuid.uuid4()), "status": "ENABLED", "mode": None}
        self.recurring[made["recurring_run_id"]] = made
        return made

    def list_recurring_runs(self, query, _body):
        ours = [r for r in self.recurring.values() if r["experiment_id"] == query["experiment_id"][0]]
        start = int(query.get("page_token", ["0"])[0] or 0)
        end = start + min(int(query["page_size"][0]), self.page_size)
        token = str(end) if end < len(ours) else None
        return {"recurringRuns": ours[start:end], "total_size": len(ours), "next_page_token": token}

    def list_runs(self, query, _body):
        (wanted,) = json.loads(query["filter"][0])["predicates"]
        assert (wanted["operation"], wanted["key"]) == ("EQUALS", "recurring_run_id")
        runs = [run for run in self.runs.values() if run.recurring == wanted["stringValue"]]
        return {"runs": [self.get_run(run.run_id) for run in runs]}

    def fire(self, recurring_run_id):
        """Start the run that is due, as the controller does: with everything that was given when it was made."""
        recurring = self.recurring[recurring_run_id]
        kept = ("experiment_id", "display_name", "pipeline_spec", "runtime_config")
        run_id = self.create_run(None, {key: recurring[key] for key in kept})["run_id"]
        self.runs[run_id].recurring = recurring_run_id
        return run_id

    def terminate(self, run_id):
        run = self.runs[run_id]
        run.state = "FAILED"
        return {}

    def show(self, run):
        # as the real one: no reasons, and run_details may be missing
        return {"run_id": run.run_id, "display_name": run.body["display_name"], "state": run.state, "error": None}

    def _execute(self, run, ir, platform):
        run.state = "RUNNING"
        executors = platform.get("platforms", {}).get("kubernetes", {}).get("deploymentSpec", {}).get("executors", {})
        text = json.dumps(ir).replace("{{$.pipeline_job_uuid}}", run.run_id)
        ir = json.loads(text)
        for label, executor in ir["deploymentSpec"]["executors"].items():
            environment = {e["name"]: e["value"] for e in executor["container"].get("env", [])}
            for key, value in self._pod_environment(executors.get(label, {})):
                if value is None:
                    return  # CreateContainerConfigError: pending until somebody gives up
                environment[key] = value
            executor["container"]["env"] = [{"name": k, "value": v} for k, v in environment.items()]
        run.folder.mkdir(parents=True, exist_ok=True)
        request = run.folder / f"{run.run_id}.json"
        request.write_text(json.dumps({"ir": ir, "parameters": run.body["runtime_config"]["parameters"]}))
        bare = {k: v for k, v in os.environ.items() if not k.startswith(("SLIPWAY_", "MLFLOW_TRACKING", "AWS_"))}
        bare["SLIPWAY_HOME"] = str(run.folder / "pod")
        with (run.folder / f"{run.run_id}.log").open("w") as log:
            command = [sys.executable, "-W", "ignore", __file__, str(request), str(run.folder / run.run_id)]
            run.process = subprocess.Popen(command, cwd=ROOT, env=bare, stdout=log, stderr=subprocess.STDOUT)

    def _pod_environment(self, config):
        for kind, name, key, table in (
            ("configMapAsEnv", "configMapName", "configMapKey", self.config_maps),
            ("secretAsEnv", "secretName", "secretKey", self.secrets),
        ):
            for entry in config.get(kind, []):
                source = table.get(entry[name], {})
                for pair in entry["keyToEnv"]:
                    if pair[key] in source:
                        yield pair["envVar"], source[pair[key]]
                    elif not entry.get("optional", False):
                        yield pair["envVar"], None


def strict(body, model):
    """Refuse keys that the model does not have, as the real server does, and check types by reading it."""
    import kfp_server_api

    cls = getattr(kfp_server_api, model)
    if unknown := set(body) - set(cls.attribute_map.values()):
        raise RefusedError(f"{model}: unknown fields {sorted(unknown)}")
    for attribute, key in cls.attribute_map.items():
        kind = cls.openapi_types[attribute]
        if isinstance(body.get(key), dict) and hasattr(kfp_server_api, kind):
            strict(body[key], kind)
        elif kind == "str" and key not in INT64 and not isinstance(body.get(key), str | None):
            raise RefusedError(f"{model}.{key}: must be a string, got {body[key]!r}")


def validate(ir, platform):
    """Both documents against their protocol buffers: an unknown field is an error."""
    from google.protobuf import json_format
    from kfp.kubernetes import kubernetes_executor_config_pb2
    from kfp.pipeline_spec import pipeline_spec_pb2

    try:
        json_format.ParseDict(ir, pipeline_spec_pb2.PipelineSpec())
        json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())
        config = platform.get("platforms", {}).get("kubernetes", {}).get("deploymentSpec", {}).get("executors", {})
        if unknown := set(config) - set(ir["deploymentSpec"]["executors"]):
            raise RefusedError(f"platform spec of executors that do not exist: {sorted(unknown)}")
        for executor in config.values():
            json_format.ParseDict(executor, kubernetes_executor_config_pb2.KubernetesExecutorConfig())
    except json_format.ParseError as exc:
        raise RefusedError(str(exc)) from exc


def check_parameters(ir, given):
    kinds = {"STRING": str, "NUMBER_INTEGER": int, "NUMBER_DOUBLE": (int, float), "BOOLEAN": bool, "STRUCT": dict}
    known = ir["root"].get("inputDefinitions", {}).get("parameters", {})
    if unknown := set(given) - set(known):
        raise RefusedError(f"parameters {sorted(unknown)} are not among the pipeline's inputs")
    for name, value in given.items():
        kind = known[name]["parameterType"]
        if not isinstance(value, kinds[kind]) or (kind != "BOOLEAN" and isinstance(value, bool)):
            raise RefusedError(f"parameter {name}: {value!r} is not a {kind}")


class _Handler(BaseHTTPRequestHandler):
    stub: KfpStub
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self._route("GET")

    def do_POST(self):
        self._route("POST")

    def do_DELETE(self):
        self._route("DELETE")

    def log_message(self, *_):
        pass

    def _route(self, method):
        url = urlsplit(self.path)
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.stub.requests.append((method, url.path))
        path = url.path.removeprefix("/apis/v2beta1/")
        routes = {
            ("GET", "healthz"): self.stub.healthz,
            ("GET", "experiments"): self.stub.list_experiments,
            ("POST", "experiments"): self.stub.create_experiment,
            ("GET", "runs"): self.stub.list_runs,
            ("POST", "runs"): self.stub.create_run,
            ("GET", "recurringruns"): self.stub.list_recurring_runs,
            ("POST", "recurringruns"): self.stub.create_recurring_run,
        }
        try:
            if self.stub.fail_next:
                self.stub.fail_next -= 1
                return self._answer(503, {"message": "starting"})
            if (method, path) in routes:
                return self._answer(200, routes[method, path](parse_qs(url.query), json.loads(raw or b"{}")))
            if path.endswith(":disable") and path.split("/")[-1].partition(":")[0] in self.stub.recurring:
                self.stub.recurring[path.removeprefix("recurringruns/").partition(":")[0]]["status"] = "DISABLED"
                return self._answer(200, {})
            if method == "DELETE" and self.stub.recurring.pop(path.removeprefix("recurringruns/"), None):
                return self._answer(200, {})
            if nodes := self.stub.workflow_nodes.get(path.removeprefix("/apis/v1beta1/runs/")):
                manifest = json.dumps({"status": {"nodes": nodes}})
                return self._answer(200, {"run": {}, "pipeline_runtime": {"workflow_manifest": manifest}})
            run_id, _, verb = path.removeprefix("runs/").partition(":")
            if run_id in self.stub.runs and (method, verb) in {("GET", ""), ("POST", "terminate")}:
                return self._answer(200, self.stub.terminate(run_id) if verb else self.stub.get_run(run_id))
            return self._answer(404, {"code": 5, "message": f"{method} {path}: not found"})
        except RefusedError as exc:
            return self._answer(400, {"code": 3, "message": str(exc)})

    def _answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def main(request, root):
    """Execute one run; exits non-zero when a step failed."""
    from kfp import components, local

    asked = json.loads(Path(request).read_text())
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=root, workspace_root=f"{root}/workspace")
    components.load_component_from_text(json.dumps(asked["ir"]))(**asked["parameters"])


if __name__ == "__main__":
    main(*sys.argv[1:])
