"""Code for `python -c` that kills itself: each moment at which something becomes visible or is sent is one to die at."""


def killing(*events: str) -> str:
    """Python source: SIGKILL at the n-th of these audit events after `armed = True`; n is the first argument of the process."""
    return f"""
import os, signal, sys
kill_at, seen, armed = int(sys.argv[1]), 0, False
def hook(event, args):
    global seen
    if armed and event in {events!r}:
        seen += 1
        if seen == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
"""
