"""A bundle's network as TensorFlow Lite, in float and in int8: what phones and boards run.

model-float.tflite   pixels 0 to 255 as float32 [1, H, W, C] -> probabilities float32 [1, K]
model-int8.tflite    pixels uint8 [1, H, W, C] -> probabilities uint8 [1, K], in 256ths; nothing inside is a float
labels.txt           the classes, a line each, in the order of the probabilities
tflite.json          how far both are from the bundle's own answers, the tensors, the versions of what made them
MANIFEST.json

Both normalise, apply the temperature and the softmax; decoding, cropping and resizing are the caller's, as bundle.json says.
"""

# N items, K classes

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway.bundle import BATCH, Bundle
from slipway.data.dataset import Dataset
from slipway.errors import ConfigError, DataError, ParityError, ToolError
from slipway.export import environment, parity
from slipway.export.onnx import check_dataset
from slipway.store import files

CALIBRATION_ITEMS = 512
"""Training images whose activations give the ranges of int8."""
LEAST_ITEMS = 32
"""Of calibration, and held out: with fewer, one near tie decides whether the limits hold."""
MIN_TOP1_AGREEMENT = {"float": parity.MIN_TOP1_AGREEMENT, "int8": 0.95}
"""Measured for int8: 0.988 of 500 (fast_cnn, CIFAR-10), 0.990 of 305 (defect_small, NEU-CLS)."""
MAX_MEAN_DIFFERENCE = {"float": 1e-3, "int8": 0.05}
"""Of an item's most different probability, the mean over items. Measured for int8: 0.022 and 0.015, for float 2e-7."""
LOCK = Path(__file__).with_name("tflite.lock")
SCRIPT = Path(__file__).with_name("tflite_convert.py")


def export(
    bundle: Bundle, dataset: Dataset, out: Path, *, home: Path, say: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Write both files, complete or not at all, once they answer held-out items as the bundle does.

    Args:
        bundle: opened with its fp32 variant.
        dataset: the one it was trained on: training items calibrate, held-out ones are compared.
        home: the converter's environment is there, or comes there, see `environment.ready`.
        say: told what goes on.
    Returns: tflite.json: bundle (digest), input, data, n, calibration_items, versions; of `float` and `int8` each bytes,
        top1_agreement, mean_difference, max_difference, worst (that item), the limits, the tensors, of float relative_error.
    Raises:
        ConfigError: the bundle reads texts.
        DataError: another data set, or too few items.
        ToolError: the converter cannot be set up, or fails.
        ParityError: a file answers otherwise.
    """
    if bundle.preprocess.input_name != "image":
        raise ConfigError(f"tflite: {bundle.path} reads text; only image networks are converted, give a bundle of cv or defect")
    check_dataset(bundle.meta, bundle.path, dataset)
    calibration_NHWC = np.asarray(dataset.arrays("train")[0][:CALIBRATION_ITEMS])
    ids, items_NHWC = _held_out(dataset)
    for what, count in (("training", len(calibration_NHWC)), ("held-out", len(ids))):
        if count < LEAST_ITEMS:
            raise DataError(
                f"tflite: {count} {what} items in {dataset.path}, at least {LEAST_ITEMS} are needed; give more data"
            )
    own_NK = np.concatenate([bundle.run({"image": items_NHWC[i : i + BATCH]}) for i in range(0, len(ids), BATCH)])
    python = environment.ready(home, "tflite", LOCK, say=say)
    with tempfile.TemporaryDirectory(prefix="slipway-tflite-") as scratch, files.atomic_dir(out) as inside:
        folder = Path(scratch)
        shutil.copyfile(bundle.path / bundle.meta["variants"][bundle.variant]["file"], folder / "graph.onnx")
        np.save(folder / "calibration.npy", calibration_NHWC)
        np.save(folder / "items.npy", items_NHWC)
        say(f"tflite: converts, and asks both about {len(ids)} held-out items")
        about = _converted(python, folder)
        for precision in ("float", "int8"):
            name = f"model-{precision}.tflite"
            about[precision] |= {"bytes": (folder / name).stat().st_size}
            about[precision] |= judge(precision, ids, own_NK, np.load(folder / f"answers-{precision}.npy"), bundle.labels)
            shutil.copyfile(folder / name, inside / name)
        files.write_bytes(inside / "labels.txt", "".join(f"{label}\n" for label in bundle.labels).encode())
        files.write_json(inside / "timings.json", {"convert_s": about.pop("seconds")})
        result = {
            "bundle": bundle.digest,
            "input": bundle.meta["input"],
            "data": dataset.name,
            "n": len(ids),
            "calibration_items": len(calibration_NHWC),
            **about,
        }
        files.write_json(inside / "tflite.json", result)
    return result


def judge(
    precision: str, ids: list[str], own_NK: NDArray[np.float32], made_NK: NDArray[np.float32], labels: tuple[str, ...]
) -> dict[str, Any]:
    """How far a file's answers are from the bundle's own.

    Returns: the numbers that `export` lists, and the limits they keep.
    Raises: ParityError: beyond a limit; the message names the worst item.
    """
    if made_NK.shape != own_NK.shape:
        raise ParityError(f"tflite {precision}: answers {list(made_NK.shape)}, the bundle {list(own_NK.shape)}")
    differences_N = np.abs(made_NK - own_NK).max(axis=1)
    worst = int(np.argmax(np.nan_to_num(differences_N, nan=np.inf)))
    found = {
        "top1_agreement": float((made_NK.argmax(axis=1) == own_NK.argmax(axis=1)).mean()),
        "mean_difference": float(differences_N.mean()),
        "max_difference": float(differences_N[worst]),
    }
    limits = {"min_top1_agreement": MIN_TOP1_AGREEMENT[precision], "max_mean_difference": MAX_MEAN_DIFFERENCE[precision]}
    told = (
        f"same class for {found['top1_agreement']:.1%} of {len(ids)} items (limit {limits['min_top1_agreement']:.1%}), "
        f"probabilities differ by {found['mean_difference']:.2g} (limit {limits['max_mean_difference']:g})"
    )
    kept = (  # NaN fails, too
        found["top1_agreement"] >= limits["min_top1_agreement"] and found["mean_difference"] <= limits["max_mean_difference"]
    )
    if precision == "float":  # probabilities in 256ths do not hold the logits of unlikely classes
        found["relative_error"] = parity.difference(ids, own_NK, made_NK)["relative_error"]
        limits["max_relative_error"] = parity.MAX_RELATIVE_ERROR
        told += f", relative error {found['relative_error']:.2g} (limit {parity.MAX_RELATIVE_ERROR:g})"
        kept = kept and found["relative_error"] <= parity.MAX_RELATIVE_ERROR
    if not kept:
        first, second = (labels[int(p_NK[worst].argmax())] for p_NK in (own_NK, made_NK))
        raise ParityError(
            f"tflite {precision}: does not answer as the bundle: {told}; worst is {ids[worst]}, bundle '{first}', "
            f"tflite '{second}'"
        )
    return {**found, "worst": ids[worst], **limits}


def _held_out(dataset: Dataset) -> tuple[list[str], NDArray[np.uint8]]:
    """`split/id` and pixels [N, H, W, C] of the items that parity compares."""
    ids: list[str] = []
    parts = []
    for split, count in parity.shares(dataset).items():
        ids.extend(f"{split}/{name}" for name in dataset.ids(split)[:count])
        parts.append(np.asarray(dataset.arrays(split)[0][:count]))
    return ids, np.concatenate(parts)


def _converted(python: Path, folder: Path) -> dict[str, Any]:
    """What the script says of its work; -I keeps libraries of this process's paths out."""
    done = subprocess.run(
        [python, "-I", SCRIPT, folder],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        last = next((line.strip() for line in reversed(done.stdout.splitlines()) if line.strip()), f"exit {done.returncode}")
        raise ToolError(f"tflite: the converter failed ({last}); the network may have an operator that it does not know")
    return files.read_json(folder / "about.json")
