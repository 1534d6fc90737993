"""What the peers' apps share. Each runs in its peer's own environment; variables tell what it serves, and how."""

import io
import os

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

THREADS, WORKERS = int(os.environ["BENCH_THREADS"]), int(os.environ["BENCH_WORKERS"])
PORT, GRPC_PORT = int(os.environ["BENCH_PORT"]), int(os.environ["BENCH_GRPC_PORT"])
GRAPHS = {"small_cnn": os.environ["BENCH_SMALL_CNN"], "resnet18_224": os.environ["BENCH_RESNET18_224"]}


def session(name: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    return onnxruntime.InferenceSession(GRAPHS[name], options, providers=["CPUExecutionProvider"])


def answer(opened: onnxruntime.InferenceSession, batch: np.ndarray) -> np.ndarray:
    return opened.run(["probabilities"], {"image": batch})[0]


def pixels(file: bytes) -> np.ndarray:
    """An image file -> uint8 [1, 224, 224, 3]: what the served graph of resnet18_224 reads."""
    image = Image.open(io.BytesIO(file)).convert("RGB")
    return np.asarray(ImageOps.fit(image, (224, 224), Image.Resampling.BILINEAR))[None]
