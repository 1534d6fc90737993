"""Series of trainings on real data: each by the product's own steps, one JSON line each, and none twice after a kill."""

import hashlib
import json
import os
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from slipway import bundle as bundles
from slipway import provenance
from slipway import settings as settings_
from slipway.config import defaults
from slipway.data.dataset import Dataset
from slipway.data.sources import ASKED
from slipway.data.split import image_hash, position
from slipway.evaluation import scores
from slipway.export.onnx import export
from slipway.models.runtime import pick_precision, torch_session
from slipway.runs.parameters import resolve, training
from slipway.search.data import prepared
from slipway.search.folder import claimed
from slipway.store import files
from slipway.store.local import LocalStore
from slipway.training import options
from slipway.training.recipe import TrainConfig
from slipway.training.train import train
from tests.benchmarks.flops import matrix_rate, training_flop

RESULTS = Path(os.environ.get("SLIPWAY_BENCH_RESULTS") or Path(__file__).parents[2] / ".cache/bench/training.jsonl").absolute()
FOLD = "fold"
SLOTS = 20
"""Each class's images are dealt into so many hands. A fold of five tests on four of them; one more validates."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A recipe that a user can repeat, and what it should reach."""

    name: str
    family: str
    preset: str
    dataset: str
    """A known data set. With `folds` a folder of class folders below SLIPWAY_DATA."""
    sets: Mapping[str, str] = field(default_factory=dict)
    """`--set` pairs; variables of the environment are put in, as a shell does."""
    seeds: tuple[int, ...] = (0,)
    """Of split, weights and order alike."""
    folds: int = 0
    """Cross-validation: every image is tested once a seed, and errors are pooled. 0 takes the data set's own test split."""
    bar: str

    def command(self, seed: int) -> str:
        """How a user repeats it."""
        pairs = " ".join(f"--set {name}={value}" for name, value in {**self.sets, "seed": seed}.items())
        source = f"--data {FOLD}" if self.folds else f"--dataset {self.dataset}"
        return f"slipway run {self.family} --preset {self.preset} {source} {pairs}"


def series(row: Row, results: Path = RESULTS) -> list[dict[str, Any]]:
    """The lines of a row, in order: those that `results` has are taken as they are, the others are trained and added.

    What is under way when the process is killed goes on from its last kept state, as long as the code is the same.
    """
    found = []
    for seed in row.seeds:
        for fold in range(row.folds or 1):
            asked, config = _resolved(row, seed)
            key = _key(row, fold, asked, config)
            line = next((line for line in _lines(results) if line["key"] == key), None)
            if line is None:
                with claimed(results.parent / "runs" / key) as folder:
                    line = {"key": key, "row": row.name, "command": row.command(seed), "seed": seed, "fold": fold}
                    line |= _trained(row, fold, asked, config, folder)
                with results.open("a", encoding="utf-8") as f:
                    f.write(json.dumps(line) + "\n")
            found.append(line)
    return found


def report(row: Row, lines: list[dict[str, Any]]) -> str:
    """The lines as a table, with mean and standard deviation over seeds."""
    by_seed: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        by_seed[line["seed"]].append(line)
    told = [f"\n{row.name}: bar {row.bar}\n  {row.command(row.seeds[0])}"]
    told.append(
        f"  {'seed':>5}{'accuracy':>10}{'errors':>8}{'n':>7}{'seconds':>9}{'PFLOP':>8}{'GFLOP/s':>9}{'of matrix rate':>16}"
    )
    accuracies = []
    rate = max(line["matrix_flop_per_s"] for line in lines)  # other work only slows it
    for seed, parts in by_seed.items():
        errors, n, train_s, flop = (sum(part[name] for part in parts) for name in ("errors", "n", "train_s", "flop"))
        accuracies.append(1 - errors / n)
        told.append(
            f"  {seed:>5}{accuracies[-1]:>10.4f}{errors:>8}{n:>7}{train_s:>9.0f}{flop / 1e15:>8.3f}"
            f"{flop / train_s / 1e9:>9.0f}{flop / train_s / rate:>16.2f}"
        )
    spread = statistics.stdev(accuracies) if len(accuracies) > 1 else float("nan")
    machine = {(part["precision"], part["threads"], *part["cpu_flags"]) for part in lines}
    told.append(f"  mean {statistics.mean(accuracies):.4f}, sd {spread:.4f}, n {len(accuracies)}")
    told += [f"  {precision}, {threads} threads, {' '.join(flags)}" for precision, threads, *flags in sorted(machine)]
    if codes := {part["code"] for part in lines} - {provenance.code_fingerprint()[:12]}:
        told.append(f"  measured with other code than this: {', '.join(sorted(codes))}")
    return "\n".join(told)


def _resolved(row: Row, seed: int) -> tuple[dict[str, Any], TrainConfig]:
    """What the row's command means: parameters of the pipeline, and the configuration of training."""
    source = {"data": FOLD} if row.folds else {"dataset": row.dataset}
    sets = {name: os.path.expandvars(value) for name, value in row.sets.items()}
    asked = resolve(row.family, preset=row.preset, values={**sets, **source, "seed": str(seed)})
    given = {"threads": settings_.load().threads} | training(row.family, asked)
    return asked, options.config(row.family, given, where=row.name)


def _key(row: Row, fold: int, asked: Mapping[str, Any], config: TrainConfig) -> str:
    """Equal keys, equal data and recipes. A preset that changes gives others; bars, threads, new options, other code do not."""
    usual = {**defaults(TrainConfig), "threads": config.threads}
    recipe = {name: value for name, value in asdict(config).items() if value != usual.get(name)}
    made_of = [row.dataset, row.folds, fold, {name: asked[name] for name in ASKED if name in asked}, recipe]
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:12]


def _trained(row: Row, fold: int, asked: dict[str, Any], config: TrainConfig, folder: Path) -> dict[str, Any]:
    """Prepare, train, export and score, as a pipeline does; what an earlier call completed in `folder` is kept."""
    settings = settings_.load()
    if row.folds:
        asked = asked | {"data": str(_fold(row, config.seed, fold, folder / FOLD, settings))}
    dataset = prepared(row.family, asked, folder.parent.parent / "data", settings)
    checkpoint, bundle, scored = (folder / name for name in ("checkpoint", "bundle", "scores"))
    if not (checkpoint / files.MANIFEST).is_file():
        train(dataset, config, checkpoint, store=LocalStore(folder / "state"), cache=settings.home / "cache")
    if not (bundle / files.MANIFEST).is_file():
        export(checkpoint, dataset, bundle)
    scores.evaluate(bundles.load(bundle, threads=settings.threads), dataset, scored, champion=None)
    result = scores.load(scored)
    timings = json.loads((checkpoint / "timings.json").read_text(encoding="utf-8"))
    precision = json.loads((checkpoint / "model.json").read_text(encoding="utf-8"))["config"]["precision"]
    precision = pick_precision(precision, "cpu")  # of a linear model it is not resolved
    with torch_session(threads=config.threads, deterministic=False):
        rate = matrix_rate(precision)
    return {
        "data": dataset.fingerprint[:12],
        "accuracy": result.summary["accuracy"],
        "log_loss": result.summary["log_loss"],
        "n": len(result.right_N),
        "errors": int((~result.right_N).sum()),
        "wrong": _wrong(dataset, result),
        "epochs": len(timings["epochs"]),
        "train_s": timings["train_s"],
        "flop": training_flop(checkpoint, dataset),
        "matrix_flop_per_s": rate,
        "precision": precision,
        "threads": config.threads,
        "cpu_flags": provenance.cpu_flags(),
        "code": provenance.code_fingerprint()[:12],
    }


def _wrong(dataset: Dataset, result: scores.Scores) -> list[str]:
    """Which images were named wrongly, where they have names of their own; 100 at most."""
    named = dataset.sources("test") if dataset.kind == "image" else dataset.ids("test")
    return [name for name, right in zip(named, result.right_N, strict=True) if not right][:100]


def _fold(row: Row, seed: int, fold: int, folder: Path, settings: settings_.Settings) -> Path:
    """A folder of links to the images, in train/, val/ and test/, as the product reads a user's own splits.

    Each class is dealt evenly. Equal pixels go the same way, as in `data.split`: what is dealt is content.
    """
    assert settings.data, "set SLIPWAY_DATA to the folder of the real data sets"
    for class_folder in sorted(path for path in (settings.data / row.dataset).iterdir() if path.is_dir()):
        by_content: dict[bytes, list[Path]] = defaultdict(list)
        for path in sorted(class_folder.iterdir()):
            with Image.open(path) as image:
                by_content[image_hash(image)].append(path)
        for i, digest in enumerate(sorted(by_content, key=lambda digest: position(digest, seed))):
            for path in by_content[digest]:
                link = folder / _split_of(i % SLOTS, fold, row.folds) / class_folder.name / path.name
                link.parent.mkdir(parents=True, exist_ok=True)
                with suppress(FileExistsError):
                    link.symlink_to(path)
    return folder


def _split_of(slot: int, fold: int, folds: int) -> str:
    tested = SLOTS // folds
    if slot // tested == fold:
        return "test"
    return "val" if slot == (fold + 1) * tested % SLOTS else "train"


def _lines(results: Path) -> Iterator[dict[str, Any]]:
    if results.is_file():
        for text in results.read_text(encoding="utf-8").splitlines():
            yield json.loads(text)
