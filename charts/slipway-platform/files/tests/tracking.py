"""Log a run with a file to MLflow and read both back: server, database and object store in one go."""

import sys
import tempfile
import time
from pathlib import Path

from mlflow import MlflowClient

EXPERIMENT = "slipway-helm-test"
CONTENT = f"written {time.time()}"


def main() -> None:
    client = MlflowClient()
    found = client.get_experiment_by_name(EXPERIMENT)
    experiment = found.experiment_id if found else client.create_experiment(EXPERIMENT)
    run = client.create_run(experiment).info.run_id
    try:
        client.log_metric(run, "answer", 42)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "note.txt")
            path.write_text(CONTENT, encoding="utf-8")
            client.log_artifact(run, str(path))
        with tempfile.TemporaryDirectory() as folder:
            read = Path(client.download_artifacts(run, "note.txt", folder)).read_text(encoding="utf-8")
        answer = client.get_run(run).data.metrics["answer"]
        if (answer, read) != (42, CONTENT):
            sys.exit(f"error: wrote 42 and {CONTENT!r}, read {answer} and {read!r}")
        client.set_terminated(run)
    finally:
        client.delete_run(run)
    print(f"run {run}: metric and file written and read back")


if __name__ == "__main__":
    main()
