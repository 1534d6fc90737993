"""`helm test`: one real inference of every model, over REST and over gRPC, whose answers must agree."""

import os
import sys
import time
from contextlib import ExitStack

import numpy as np

from slipway.client import Client

READY_S = 480


def main(models: list[str]) -> int:
    """0 when every model answers."""
    for model in models:
        host = f"{model}-predictor"
        with ExitStack() as stack:
            rest, grpc = (
                stack.enter_context(
                    Client(
                        f"http://{host}",
                        token=os.environ.get("SLIPWAY_SERVER_TOKEN", ""),
                        grpc=f"{host}:8081",
                        transport=transport,
                    )
                )
                for transport in ("json", "grpc")
            )
            end = time.monotonic() + READY_S
            while not rest.ready():
                if time.monotonic() > end:
                    print(f"{model}: not ready after {READY_S} s", file=sys.stderr)
                    return 1
                time.sleep(2)
            item = "a quiet test" if rest.classifier(model).input_name == "text" else np.full((64, 64, 3), 128, np.uint8)
            one, other = (client.predict(model, [item])[0].probabilities for client in (rest, grpc))
            if any(abs(one[label] - other[label]) > 1e-5 for label in one) or abs(sum(one.values()) - 1) > 1e-3:
                print(f"{model}: REST says {one}, gRPC {other}", file=sys.stderr)
                return 1
            print(f"{model}: version {rest.metadata(model)['versions'][-1]} answers over REST and gRPC")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
