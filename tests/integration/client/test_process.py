"""The client in a process of its own, and a server that is killed under it."""

import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

from slipway import bundle as bundles
from slipway.client import Client
from tests.helpers.bundles import make_items
from tests.helpers.servers import DEADLINE_S, process, ready_line

pytestmark = pytest.mark.integration

NEVER = (
    "slipway.server", "slipway.bundle", "slipway.engines", "onnxruntime", "fastapi", "starlette", "uvicorn", "PIL", "typer",
    "torch", "mlflow", "kfp", "pandas", "sklearn", "scipy", "onnx", "minio", "kubernetes",
)  # fmt: skip


def python(code, *args):
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_client_stays_light():
    loaded = python("import sys, slipway.client; print(*sys.modules)").split()
    assert not set(loaded) & {*NEVER, "grpc", "google.protobuf"}


ASK = textwrap.dedent(
    """
    import sys
    never = {never}
    class Blocked:
        def find_spec(self, name, path=None, target=None):
            if name in never:
                raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
    sys.meta_path.insert(0, Blocked())
    from slipway.client import Client
    url, grpc, folder = sys.argv[1:]
    with Client(url, grpc=grpc) as client:
        client.explain("nlp", ["a fine film"])
        for answer in client.predict_folder("cv", folder):
            print(*answer.prediction.probabilities.values())
    """
).format(never=NEVER)


def test_it_asks_where_nothing_but_the_client_can_be_imported(releases, tmp_path):
    items = make_items("cv", 5)
    (tmp_path / "photos").mkdir()
    for i, item in enumerate(items):
        (tmp_path / "photos" / f"{i}.png").write_bytes(item)
    with process(*(f"{name}={path}" for name, path in releases.items()), "--port", "0") as server:
        ready = ready_line(server)
        for grpc in ("", f"127.0.0.1:{ready['grpc_port']}"):
            said = python(ASK, f"http://127.0.0.1:{ready['port']}", grpc, str(tmp_path / "photos"))
            found = np.array([line.split() for line in said.splitlines()], np.float32)
            np.testing.assert_array_equal(found, bundles.load(releases["cv"]).predict(items))


def test_a_server_that_is_killed_and_comes_back_is_waited_for(releases):
    arguments = (f"nlp={releases['nlp']}",)
    with process(*arguments, "--port", "0") as first:
        ready = ready_line(first)
        url, grpc = f"http://127.0.0.1:{ready['port']}", f"127.0.0.1:{ready['grpc_port']}"
        with Client(url) as by_http, Client(url, grpc=grpc, transport="grpc") as by_grpc:
            clients = (by_http, by_grpc)
            expected = by_http.predict("nlp", ["fine film"])
            assert by_grpc.predict("nlp", ["fine film"]) == expected
            first.kill()
            first.wait(DEADLINE_S)
            tries, found = threading.Semaphore(0), []

            def ask(client):
                client._transports._sleep = lambda seconds: (tries.release(), threading.Event().wait(seconds))
                found.append(client.predict("nlp", ["fine film"]))

            threads = [threading.Thread(target=ask, args=(client,)) for client in clients]
            for thread in threads:
                thread.start()
            assert tries.acquire(timeout=DEADLINE_S)
            assert tries.acquire(timeout=DEADLINE_S)
            with process(*arguments, "--port", str(ready["port"]), "--grpc-port", str(ready["grpc_port"])) as second:
                ready_line(second)
                for thread in threads:
                    thread.join(DEADLINE_S)
    assert found == [expected, expected]
