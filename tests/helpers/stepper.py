"""Run one step in a process of its own, as a pod would: `python -m tests.helpers.stepper STEP JSON [KILL_AT_RENAME]`.

With a third argument n, the process kills itself just before the n-th rename it makes: every rename in the code is a
moment at which something becomes visible.
"""

import json
import os
import signal
import sys
from pathlib import Path

PATHS = {"out", "dataset", "checkpoint", "bundle", "scores", "verdict", "checked", "page"}


def kill_at_rename(n: int) -> None:
    """SIGKILL this process at its n-th os.rename or os.replace, before it happens."""
    seen = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        if event == "os.rename":
            seen += 1
            if seen == n:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def main() -> None:
    step, arguments = sys.argv[1], json.loads(sys.argv[2])
    if len(sys.argv) > 3:
        kill_at_rename(int(sys.argv[3]))
    from slipway import steps

    paths = PATHS - ({"dataset"} if step == "prepare_data" else set())
    result = getattr(steps, step)(**{k: Path(v) if k in paths else v for k, v in arguments.items()})
    print(json.dumps(result))


if __name__ == "__main__":
    main()
