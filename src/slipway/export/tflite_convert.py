"""ONNX graph of an image network -> TensorFlow Lite, in float and in int8, and what both answer.

A program for an environment of its own, that of tflite.lock: it imports nothing of slipway. Called with a folder, it reads

    graph.onnx           `image` uint8 [N, H, W, C] -> `probabilities` float32 [N, K], further outputs are left out
    calibration.npy      uint8 [N, H, W, C]: their activations give the ranges of int8
    items.npy            uint8 [N, H, W, C]: what both are asked

and writes model-float.tflite, model-int8.tflite, answers-float.npy, answers-int8.npy (float32 [N, K]) and about.json.
"""

# N items, H/W px, C channels, K classes

import importlib.metadata
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

LIBRARIES = ("onnx2tf", "tensorflow-cpu", "tensorflow", "ai-edge-litert", "onnx", "numpy")
"""Whose versions are told, where they are installed."""


def main(folder: Path) -> None:
    """Convert, ask, and write down what was made."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    os.chdir(folder)  # the converter leaves files where it is
    started = time.perf_counter()
    cut(Path("graph.onnx"), Path("cut.onnx"))
    models = convert(Path("cut.onnx"))
    about: dict[str, Any] = {"seconds": time.perf_counter() - started, "versions": versions()}
    for precision, model in models.items():
        Path(f"model-{precision}.tflite").write_bytes(model)
        about[precision] = ask(Path(f"model-{precision}.tflite"), Path(f"answers-{precision}.npy"))
    Path("about.json").write_text(json.dumps(about), encoding="utf-8")


def cut(source: Path, target: Path) -> None:
    """The graph from pixels in float to probabilities: a cast from uint8 would be the one float operator of int8."""
    import onnx

    onnx.utils.extract_model(str(source), str(target), ["image"], ["probabilities"])
    model = onnx.load(target)
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    del model.graph.value_info[:]  # it says uint8 of the input, too, and the converter believes it
    onnx.save(model, target)


def convert(source: Path) -> dict[str, bytes]:
    """`float` and `int8` -> the bytes of a file for one image at a time: accelerators want fixed shapes."""
    import numpy as np
    import onnx2tf
    import tensorflow as tf

    onnx2tf.convert(
        input_onnx_file_path=str(source),
        output_folder_path="saved",
        keep_shape_absolutely_input_names=["image"],  # else it takes H, W, C for C, H, W, and turns them
        not_use_onnxsim=True,
        output_signaturedefs=True,
        non_verbose=True,
    )
    calibration_NHWC = np.load("calibration.npy")
    loaded = tf.saved_model.load("saved")
    network = loaded.signatures["serving_default"]

    def answer(image: Any) -> dict[str, Any]:
        (probabilities,) = network(image=image).values()
        return {"probabilities": probabilities}

    one = tf.function(answer, input_signature=[tf.TensorSpec([1, *calibration_NHWC.shape[1:]], tf.float32, name="image")])

    def converter() -> Any:
        return tf.lite.TFLiteConverter.from_concrete_functions([one.get_concrete_function()], loaded)

    integers = converter()
    integers.optimizations = [tf.lite.Optimize.DEFAULT]
    integers.representative_dataset = lambda: ([image_HWC[None].astype(np.float32)] for image_HWC in calibration_NHWC)
    integers.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    integers.inference_input_type = integers.inference_output_type = tf.uint8
    return {"float": converter().convert(), "int8": integers.convert()}


def ask(model: Path, answers: Path) -> dict[str, Any]:
    """Answer the items, one at a time, and return the tensors a caller sees: type, shape, scale and zero point."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(model), num_threads=1)
    interpreter.allocate_tensors()
    (image,), (probabilities,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero_point = probabilities["quantization"]
    rows_NK = []
    for item_HWC in np.load("items.npy"):
        interpreter.set_tensor(image["index"], item_HWC[None].astype(image["dtype"]))
        interpreter.invoke()
        row_K = interpreter.get_tensor(probabilities["index"])[0].astype(np.float32)
        rows_NK.append((row_K - zero_point) * scale if scale else row_K)
    np.save(answers, np.stack(rows_NK).astype(np.float32))
    types = {np.dtype(tensor["dtype"]).name for tensor in interpreter.get_tensor_details()}
    return {"input": told(image), "output": told(probabilities), "types": sorted(types)}


def told(tensor: dict[str, Any]) -> dict[str, Any]:
    """Of a tensor of the interpreter; a real number is scale x (integer - zero point), and scale 0 means it is one already."""
    import numpy as np

    scale, zero_point = tensor["quantization"]
    shape = [int(size) for size in tensor["shape"]]
    return {"type": np.dtype(tensor["dtype"]).name, "shape": shape, "scale": float(scale), "zero_point": int(zero_point)}


def versions() -> dict[str, str]:
    """Of LIBRARIES and Python."""
    installed = {d.metadata["Name"].replace("_", "-").lower() for d in importlib.metadata.distributions()}
    found = {name: importlib.metadata.version(name) for name in LIBRARIES if name in installed}
    return {"python": sys.version.split()[0], **found}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
