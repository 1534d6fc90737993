"""The process that KFP's local runner lives in: `python -m slipway.runs.local_worker REQUEST.json LIFELINE_FD`.

A process of its own, since the runner changes what a process has only one of (`print`, the root logger, its settings),
and since its steps are ended by ending its process group.
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from slipway.pipelines import lint


def main(request: Path, lifeline_fd: int) -> int:
    """Run the pipeline of a request; 0 when every step succeeded.

    Args:
        request: JSON: `pipeline` (path of a compiled one), `parameters`, `environment` (of the steps), `root` (for artifacts).
        lifeline_fd: read end of a pipe whose other end our parent holds; when it closes, the parent is gone.
    """
    threading.Thread(target=_end_with_parent, args=(lifeline_fd,), daemon=True).start()
    asked = json.loads(request.read_text(encoding="utf-8"))
    ir, _ = lint.load(Path(asked["pipeline"]))
    _localise(ir, asked["environment"])
    from kfp import components, local

    local.init(
        local.SubprocessRunner(use_venv=False),
        pipeline_root=asked["root"],
        workspace_root=str(Path(asked["root"]) / "workspace"),
        raise_on_error=True,
        enable_caching=False,
    )
    try:
        components.load_component_from_text(json.dumps(ir))(**asked["parameters"])
    except RuntimeError as exc:  # a step failed, and has said why
        print(exc)  # noqa: T201  # into the log
        return 1
    return 0


def _localise(ir: dict[str, Any], environment: dict[str, str]) -> None:
    """A step that failed here fails again: no retries. Its environment is this machine's, not a pod's."""
    for _, tasks in lint.dags(ir):
        for task in tasks.values():
            task.pop("retryPolicy", None)
    variables = [{"name": name, "value": value} for name, value in environment.items()]
    for _, container in lint.containers(ir):
        container["env"] = variables
        container.pop("resources", None)


def _end_with_parent(lifeline_fd: int) -> None:
    os.read(lifeline_fd, 1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
