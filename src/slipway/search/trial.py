"""One candidate with one seed, from a configuration to numbers: trained, exported, scored and timed; a kill loses an epoch."""

# N items, K classes

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from slipway import bundle as bundles
from slipway import provenance
from slipway.data.dataset import Dataset
from slipway.preprocess import Raw
from slipway.settings import Settings
from slipway.store import files
from slipway.store.local import LocalStore
from slipway.training.recipe import TrainConfig

RESULT, KEY = "result.json", "key.json"
STAGES = ("checkpoint", "bundle", "state", RESULT)


def key_of(config: TrainConfig, dataset: Dataset, split: str) -> str:
    """Equal keys, equal numbers but for times: configuration, data, code, the libraries' versions, and what is scored."""
    made_of = [
        asdict(replace(config, tensorboard="")),
        files.read_manifest(dataset.path).digest,
        provenance.code_fingerprint(),
        provenance.environment(config.threads)["libraries"],
        split,
    ]
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()


def finished(folder: Path, key: str) -> dict[str, Any] | None:
    """The numbers of a trial that was completed under this key; None when it was not."""
    try:
        result = files.read_json(folder / RESULT)
    except (OSError, ValueError):
        return None
    return result if result.get("key") == key and (folder / "bundle" / files.MANIFEST).is_file() else None


def run(dataset: Dataset, config: TrainConfig, folder: Path, *, split: str, settings: Settings) -> dict[str, Any]:
    """Train, export, score and time a configuration in `folder`; what an earlier call with the same key did is kept.

    Args:
        split: `validation` or `test`: what the bundle is scored on.
    Returns: key, accuracy with its 95 % interval and n, log loss, parameters, bundle_mb, train_s, latencies in ms.
    Raises: whatever training or exporting raises.
    """
    from slipway.export.onnx import export
    from slipway.training.train import train

    key = key_of(config, dataset, split)
    if (result := finished(folder, key)) is not None:
        return result
    if _key(folder) != key:
        for name in STAGES:
            files.discard(folder / name)
        files.write_json(folder / KEY, {"key": key})
    checkpoint, bundle = folder / "checkpoint", folder / "bundle"
    if not (checkpoint / files.MANIFEST).is_file():
        train(dataset, config, checkpoint, store=LocalStore(folder / "state"), cache=settings.home / "cache")
    files.discard(folder / "state")
    if not (bundle / files.MANIFEST).is_file():
        export(checkpoint, dataset, bundle)
    result = {"key": key, **_numbers(dataset, checkpoint, bundle, split=split, threads=settings.threads)}
    files.write_json(folder / RESULT, result)
    return result


def items_of(dataset: Dataset, split: str) -> Sequence[Raw]:
    """A split as a bundle takes it: the test split's original bytes, texts, or the pixels that its preprocessing made.

    Original bytes of images are kept for the test split only. The pixels of the others came from the same
    preprocessing, so the answers are those to the bytes.
    """
    if dataset.kind == "image" and split != "test":
        images_NHWC: Any = dataset.arrays(split)[0]
        return images_NHWC  # type: ignore[no-any-return]  # an array is a sequence of arrays
    return dataset.raw(split)


def _numbers(dataset: Dataset, checkpoint: Path, bundle: Path, *, split: str, threads: int) -> dict[str, Any]:
    from slipway.evaluation.latency import latency_ms, on_gpu
    from slipway.evaluation.summary import summarise

    loaded = bundles.load(bundle, threads=threads)
    bundles.selftest(loaded)
    summary = summarise(dataset.label_indices(split), loaded.predict(items_of(dataset, split)))
    timings = files.read_json(checkpoint / "timings.json")
    one_by_one = items_of(dataset, "validation")
    gpu = on_gpu(bundle)
    return {
        **{name: summary[name] for name in ("accuracy", "accuracy_low", "accuracy_high", "n", "log_loss")},
        "parameters": _parameters(checkpoint),
        "bundle_mb": sum(size for _, size in files.read_manifest(bundle).files.values()) / 1e6,
        "train_s": timings["train_s"],
        "epochs": len(timings["epochs"]),
        "cpu_ms": latency_ms(loaded, one_by_one),
        "gpu_ms": latency_ms(gpu, one_by_one) if gpu else None,
    }


def _parameters(checkpoint: Path) -> int:
    """Numbers that training sets."""
    from slipway.models.restore import restore

    model = restore(checkpoint).model
    if hasattr(model, "parameters"):
        from slipway.models.widths import count

        return count(model)
    return sum(int(array.size) for array in model.state_dict().values())


def _key(folder: Path) -> str:
    try:
        return str(files.read_json(folder / KEY)["key"])
    except (OSError, ValueError, KeyError):
        return ""
