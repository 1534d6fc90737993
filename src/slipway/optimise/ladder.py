"""The ladder: an fp32 bundle and the variants made of it, judged on validation, measured on the test items.

bundle/        the bundle with every variant; the fp32 one stays its default
<student>/     the same of each further bundle
ladder.json    every number
ladder.csv     the table
ladder.png     accuracy against latency
MANIFEST.json
"""

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from slipway import bundle as bundles
from slipway import provenance
from slipway.bundle import BASE, Bundle
from slipway.data.dataset import Dataset
from slipway.engines import open_session, parts, runs_here
from slipway.errors import ConfigError, unknown
from slipway.evaluation import variants
from slipway.evaluation.report.pictures import ladder as draw
from slipway.evaluation.report.pictures import png
from slipway.export import quantize
from slipway.export.onnx import check_dataset
from slipway.optimise import int8
from slipway.optimise.judge import Judge, told
from slipway.store import files

INT8 = "onnxruntime-int8"
RUNGS = {
    INT8: INT8,
    "openvino-fp32": BASE,
    "openvino-bf16": BASE,
    "openvino-int8": INT8,
    "onnxruntime-cuda-fp32": BASE,
}
"""Every variant that can be made -> the one whose file it runs; of INT8, which has one made for it, itself."""
ALL = "all"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MAX_DROP = 0.005
VNNI = frozenset(("avx512_vnni", "avx_vnni", "amx_int8"))
"""Any of these processor flags multiplies INT8 as it is meant to be."""


def wanted(names: str) -> list[str]:
    """The rungs that a text names, in the ladder's order.

    Args:
        names: separated by commas; `all` means those that this machine can run; empty: none.
    Raises: ConfigError: an unknown one.
    """
    asked = [name for part in names.split(",") if (name := part.strip())]
    if asked == [ALL]:
        return [name for name in RUNGS if runs_here(*parts(name))]
    for name in asked:
        if name not in RUNGS:
            raise ConfigError(unknown("variant", name, [*RUNGS, ALL]))
    return [name for name in RUNGS if name in asked or any(RUNGS[other] == name for other in asked)]


def add_variants(
    bundle: Bundle,
    dataset: Dataset,
    out: Path,
    *,
    names: Sequence[str],
    max_drop: float = MAX_DROP,
    threads: int = 1,
    say: Callable[[str], object] = lambda _: None,
    teacher: Bundle | None = None,
) -> None:
    """Write a bundle with these variants beside the fp32 one, complete or not at all; each is judged on validation.

    Args:
        dataset: the one the bundle was trained on: its training items calibrate, validation chooses.
        names: of RUNGS, see `wanted`. What a model cannot have is said and left out: a linear one, or one with too few items to
            calibrate by, INT8.
        max_drop: budget, largest fall of accuracy on validation, a share in (0, 1): layers are left in float for it.
        threads: of the engine.
        say: told what goes on.
        teacher: variants are compared with its fp32 one, and so is the bundle's own; None: with the bundle's own.
    Raises:
        ConfigError: a budget out of range, or no fp32 variant.
        DataError: another data set.
        BundleError: an engine that is not installed, or cannot run the graph here.
    """
    if not 0 < max_drop < 1:
        raise ConfigError(f"max drop: must be above 0 and below 1, got {max_drop:g}; 0.005 means half a point")
    if BASE not in bundle.meta["variants"]:
        raise ConfigError(f"{bundle.path}: has no variant {BASE}, which all others are made of; export again")
    check_dataset(bundle.meta, bundle.path, dataset)
    base = bundles.load(bundle.path, variant=BASE, threads=threads)
    theirs = bundles.load(teacher.path, variant=BASE, threads=threads) if teacher else base
    judge = Judge(base, dataset, base=theirs, max_drop=max_drop)
    flags = provenance.cpu_flags()
    if INT8 in names and flags and not VNNI & {*flags}:
        say("warning: this processor has no VNNI: INT8 may be slower than float here, and its sums may saturate")
    source = base.path / base.meta["variants"][BASE]["file"]
    graphs: dict[str, Path] = {BASE: source}
    made: dict[str, tuple[Path | str, dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="slipway-optimise-") as scratch:
        for name in [BASE, *names] if teacher else names:
            if name == INT8:
                if reason := _no_int8(base, dataset):
                    say(f"{name}: left out; {reason}")
                    continue
                graphs[name], about = _int8(base, dataset, Path(scratch), judge, max_drop, threads, say)
                made[name] = graphs[name], about
            elif (file := RUNGS.get(name, BASE)) in graphs:  # else its file was left out, which was said
                engine, precision = parts(name)
                session = open_session(graphs[file], engine=engine, precision=precision, threads=threads)
                made[name] = file, {"validation": judge(session)}
            else:
                continue
            say(f"{name}: {told(made[name][1]['validation'], max_drop)}")
        bundles.with_variants(base, out, made)


def optimise(
    bundle: Bundle,
    dataset: Dataset,
    out: Path,
    *,
    names: Sequence[str],
    students: Mapping[str, Bundle] | None = None,
    max_drop: float = MAX_DROP,
    threads: int = 1,
    seconds: float = 10.0,
    say: Callable[[str], object] = lambda _: None,
) -> dict[str, Any]:
    """Make variants, measure them on the test split, read once, and write the ladder's directory, complete or not at all.

    Args: see `add_variants`.
        students: further bundles by name, such as distilled or pruned ones, trained on the same data set: they get the same
            variants, and all are compared with the bundle's fp32 one.
        seconds: of timing, for all variants together.
    Returns: ladder.json: `rows`, see `evaluation.variants.compare`; order (of the bundle's own variants), n, threads,
        cpu_flags, max_drop, bundle (digest).
    Raises: see `add_variants`; ConfigError, too: a student's name that cannot be a folder's.
    """
    students = students or {}
    for name in students:
        if not NAME.fullmatch(name) or name == "bundle":
            raise ConfigError(f"student '{name[:80]}': must be letters, digits, '.', '_' and '-', and not 'bundle'")
    add = partial(add_variants, dataset=dataset, names=names, max_drop=max_drop, threads=threads)
    with files.atomic_dir(out) as inside:
        target = inside / "bundle"
        add(bundle, out=target, say=say)
        for name, student in students.items():
            add(student, out=inside / name, teacher=bundle, say=lambda line: say(f"{name}/{line}"))  # noqa: B023  # called at once
        paths = {name: inside / name for name in students}
        rows = variants.compare(target, dataset, threads=threads, seconds=seconds, students=paths)
        result = {
            "rows": rows,
            "order": variants.order([row for row in rows if not row["student"]]),
            "data": dataset.name,
            "n": len(dataset.label_indices("test")),
            "threads": threads,
            "cpu_flags": provenance.cpu_flags(),
            "max_drop": max_drop,
            "bundle": files.read_manifest(target).digest,
        }
        files.write_json(inside / "ladder.json", result)
        (inside / "ladder.csv").write_text(variants.as_csv(rows), encoding="utf-8")
        files.write_bytes(inside / "ladder.png", png(draw(rows)))
    return result


def _int8(
    base: Bundle,
    dataset: Dataset,
    scratch: Path,
    judge: Judge,
    max_drop: float,
    threads: int,
    say: Callable[[str], object],
) -> tuple[Path, dict[str, Any]]:
    source = base.path / base.meta["variants"][BASE]["file"]
    if base.preprocess.input_name == "image":
        return int8.of_images(source, dataset, scratch, judge, max_drop=max_drop, threads=threads, say=say)
    return int8.of_encoder(source, scratch, judge, threads=threads)


def _no_int8(base: Bundle, dataset: Dataset) -> str:
    """Why a model cannot have the INT8 rung; empty where it can."""
    if base.preprocess.input_name == "image":
        items = len(dataset.label_indices("train"))
        least = quantize.LEAST_ITEMS
        return f"{items} training items to calibrate by, at least {least} are needed" if items < least else ""
    if "attention_mask" in base.preprocess.encode(["a"]):
        return ""
    return f"a {base.meta['architecture']} is a single sparse product, without layers"
