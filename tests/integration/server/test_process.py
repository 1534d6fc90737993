import base64
import io
import json
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading

import httpx
import numpy as np
import pytest
from PIL import Image

from slipway import bundle as bundles
from slipway.server.app import create_app
from slipway.server.models import served_model
from slipway.store import files
from tests.helpers.bundles import make_items
from tests.helpers.servers import DEADLINE_S, process, ready_line, running, wait_until

pytestmark = pytest.mark.integration


def as_body(items, name="image"):
    data = [base64.b64encode(i).decode() for i in items]
    tensor = {"name": name, "shape": [len(items)], "datatype": "BYTES", "data": data, "parameters": {"content_type": "base64"}}
    return json.dumps({"inputs": [tensor]}).encode()


@pytest.fixture(scope="module")
def heavy_body():
    """About a second of decoding in a few hundred kB."""
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((3000, 3000, 3), np.uint8)).save(buffer, "PNG")
    return as_body([buffer.getvalue()] * 8)


def in_flight(client, name):
    return f'inference_in_flight{{model="{name}"' in (text := client.get("/metrics").text) and any(
        line.startswith(f'inference_in_flight{{model="{name}"') and line.endswith(" 1.0") for line in text.splitlines()
    )


def test_probes_answer_while_every_worker_is_busy(releases, heavy_body):
    with running(create_app([served_model("cv", str(releases["cv"]))], threads=1)) as client:
        answers = []

        def ask():
            answers.append(httpx.post(f"{client.base_url}/v2/models/cv/infer", content=heavy_body, timeout=DEADLINE_S))

        thread = threading.Thread(target=ask)
        thread.start()
        wait_until(lambda: in_flight(client, "cv"), "the heavy request to start")
        probes = 0
        while not answers:
            assert client.get("/v2/health/live").status_code == 200
            assert client.get("/v2/models/cv/ready").status_code == 200
            probes += not answers
        thread.join()
    assert answers[0].status_code == 200
    assert probes >= 5, "the requests share one worker, not the loop: probes do not wait for the answer"


def test_sigterm_answers_what_is_in_flight_and_ends_with_zero(releases, heavy_body):
    with process(f"cv={releases['cv']}", "--port", "0") as child:
        ready = ready_line(child)
        digest = files.read_manifest(releases["cv"]).digest
        assert ready["models"] == [{"name": "cv", "version": digest[:12], "digest": digest}]
        with httpx.Client(base_url=f"http://127.0.0.1:{ready['port']}", timeout=DEADLINE_S) as client:
            answers = []
            thread = threading.Thread(
                target=lambda: answers.append(
                    httpx.post(f"{client.base_url}/v2/models/cv/infer", content=heavy_body, timeout=DEADLINE_S)
                )
            )
            thread.start()
            wait_until(lambda: in_flight(client, "cv"), "the heavy request to start")
            child.send_signal(signal.SIGTERM)
            wait_until(lambda: not_ready(client), "the server to say that it is not ready")
            wait_until(lambda: refuses(ready["grpc_port"]), "gRPC to accept nothing more")
            assert not answers, "both must come before the end"
            thread.join(DEADLINE_S)
        assert child.wait(DEADLINE_S) == 0
        assert answers[0].status_code == 200
        assert len(answers[0].json()["outputs"][1]["data"]) == 8


def not_ready(client):
    try:
        return client.get("/v2/health/ready").status_code == 503
    except httpx.TransportError:
        return True


def refuses(port):
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) != 0


def test_logs_are_json_lines_without_payloads(releases):
    secret = "word-nobody-may-log"
    with process(f"nlp={releases['nlp']}", "--port", "0") as child:
        port = ready_line(child)["port"]
        url = f"http://127.0.0.1:{port}/v2/models/nlp/infer"
        tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [secret]}
        assert httpx.post(url, json={"inputs": [tensor]}).status_code == 200
        assert httpx.post(url, json={"inputs": [tensor | {"shape": [2]}], "id": secret}).status_code == 400
        child.send_signal(signal.SIGTERM)
        assert child.wait(DEADLINE_S) == 0
        lines = child.stderr.read().splitlines()
    assert [json.loads(line)["message"] for line in lines] == ["listening", "model ready", "stopped"]
    assert secret not in "".join(lines)


MARKER = "word-nobody-may-log"


def asked_for_a_log(releases, target, num_requests):
    """stdout's lines after the ready one, and stderr, of a server that answered some requests and was stopped."""
    args = ("--port", "0", "--prediction-log", target, "--prediction-sample", "1")
    with process(f"nlp={releases['nlp']}", *args) as child:
        url = f"http://127.0.0.1:{ready_line(child)['port']}/v2/models/nlp/infer"
        tensor = {"name": "text", "shape": [2], "datatype": "BYTES", "data": [MARKER, f"a good {MARKER}"]}
        for i in range(num_requests):
            answer = httpx.post(url, json={"inputs": [tensor], "id": MARKER}, headers={"X-Request-Id": f"r{i}"})
            assert answer.status_code == 200
        child.send_signal(signal.SIGTERM)
        stdout, stderr = child.communicate(timeout=DEADLINE_S)
        assert child.returncode == 0
    return stdout, stderr


def test_prediction_log_in_a_store_is_complete_after_sigterm_and_has_no_payload(releases, tmp_path):
    stdout, stderr = asked_for_a_log(releases, str(tmp_path / "store"), 30)
    objects = sorted((tmp_path / "store/predictions/nlp").rglob("*.jsonl"))
    lines = [json.loads(line) for path in objects for line in path.read_text().splitlines()]
    assert sorted((line["request"], line["item"]) for line in lines) == sorted((f"r{i}", k) for i in range(30) for k in (0, 1))
    assert {line["characters"] for line in lines} == {len(MARKER), len(f"a good {MARKER}")}
    assert stdout == ""
    assert MARKER not in stderr + "".join(path.read_text() for path in objects)


def test_prediction_log_on_stdout_follows_the_ready_line_and_has_no_payload(releases):
    stdout, stderr = asked_for_a_log(releases, "-", 30)
    lines = [json.loads(line) for line in stdout.splitlines()]
    assert [(line["request"], line["item"]) for line in lines] == [(f"r{i}", k) for i in range(30) for k in (0, 1)]
    assert MARKER not in stdout + stderr


def test_server_answers_and_stops_when_nobody_reads_its_log(releases):
    args = ("--port", "0", "--prediction-log", "-", "--prediction-sample", "1")
    with process(f"nlp={releases['nlp']}", *args) as child:
        url = f"http://127.0.0.1:{ready_line(child)['port']}/predict_text"
        child.stdout.close()
        assert httpx.post(url, json={"text": "a good film"}).status_code == 200
        child.send_signal(signal.SIGTERM)
        assert child.wait(DEADLINE_S) == 0
        said = [json.loads(line)["message"] for line in child.stderr.read().splitlines()]
    assert said[-2:] == ["prediction log ends without its last lines", "stopped"]


def run(*args):
    command = [sys.executable, "-m", "slipway.server", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, stdin=subprocess.DEVNULL)


def error_line(result):
    """The one line that is not a log."""
    lines = [line for line in result.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1, result.stderr
    return lines[0]


def test_port_in_use_is_one_line_and_code_2(releases):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = run(f"cv={releases['cv']}", "--port", str(taken.getsockname()[1]))
    assert result.returncode == 2
    assert "cannot listen there (Address already in use); choose another --port" in error_line(result)
    assert result.stdout == ""


def test_damaged_release_is_one_line_and_code_2(releases, tmp_path):
    damaged = shutil.copytree(releases["cv"], tmp_path / "damaged")
    with (damaged / "variants/onnxruntime-fp32.onnx").open("ab") as f:
        f.write(b"x")
    result = run(f"nlp={releases['nlp']}", f"cv={damaged}", "--port", "0")
    assert result.returncode == 2
    assert "onnxruntime-fp32.onnx: altered" in error_line(result)
    assert result.stdout == "", "it may not say ready"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["cv"], "must be NAME=RELEASE"),
        (["cv=/nowhere"], "/nowhere"),
        (["a b=/x"], "model name: 'a b'"),
        (["cv=/x", "cv=/y"], "different names"),
        (["cv:1=/x", "--model-version", "2"], "--model-version"),
        (["cv=/x", "--prediction-sample", "2"], "prediction sample: must be 0 to 1"),
        (["cv=/x", "--prediction-sample", "0.5"], "give --prediction-log"),
    ],
)
def test_wrong_argument_is_one_line_and_code_2(args, words):
    result = run(*args, "--port", "0")
    assert result.returncode == 2
    assert words in error_line(result)


BLOCK = textwrap.dedent(
    """
    import runpy, sys
    class Blocked:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in {"torch", "mlflow", "kfp", "pandas", "sklearn", "scipy", "transformers", "matplotlib",
                                          "onnx", "kserve", "kubernetes", "torchvision", "pyarrow"}:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    sys.meta_path.insert(0, Blocked())
    sys.argv = ["slipway.server", *sys.argv[1:]]
    runpy.run_module("slipway.server", run_name="__main__")
    """
)


def test_serving_works_with_the_base_dependencies_alone(releases):
    command = [
        sys.executable,
        "-c",
        BLOCK,
        *(f"{name}={path}" for name, path in releases.items()),
        "--port",
        "0",
        "--until-eof",
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            port = ready_line(child)["port"]
            for family, path in releases.items():
                name = "text" if family == "nlp" else "image"
                items = make_items(family, 3)
                answer = httpx.post(f"http://127.0.0.1:{port}/v2/models/{family}/infer", content=as_body(items, name)).json()
                found = np.array(answer["outputs"][0]["data"], np.float32)
                np.testing.assert_array_equal(found, bundles.load(path).predict(items).ravel())
            assert httpx.get(f"http://127.0.0.1:{port}/docs").status_code == 200
            child.stdin.close()
            assert child.wait(DEADLINE_S) == 0, "it stops when its parent does"
        finally:
            child.kill()


def test_importing_the_server_stays_light():
    code = "import sys, slipway.server.main; print(' '.join(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(result.stdout.split())
    heavy = {
        "torch",
        "mlflow",
        "kfp",
        "pandas",
        "sklearn",
        "scipy",
        "transformers",
        "onnx",
        "kserve",
        "kubernetes",
        "minio",
        "typer",
    }
    assert not loaded & heavy
