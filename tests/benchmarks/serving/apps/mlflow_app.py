"""`mlflow models serve` of an ONNX model, logged as MLflow's own flavour has it."""

import os
import sys

import mlflow.onnx
import numpy as np
import onnx
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec
from shared import GRAPHS, PORT, THREADS, WORKERS

if __name__ == "__main__":
    folder = "model"
    given = Schema([TensorSpec(np.dtype("float32"), (-1, 3, 200, 200), "image")])
    mlflow.onnx.save_model(
        onnx.load(GRAPHS["small_cnn"]),
        folder,
        signature=ModelSignature(inputs=given),
        onnx_session_options={"intra_op_num_threads": THREADS},
        pip_requirements=[],
    )
    options = ["-m", folder, "-p", str(PORT), "-w", str(WORKERS), "--env-manager", "local"]
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", "models", "serve", *options])
