"""Compile the pipelines to the golden files in `compiled/`: `python -m slipway.pipelines.compile [--check]`."""

import argparse
import importlib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

FAMILIES = ("cv", "defect", "nlp")
COMPILED = Path(__file__).parent / "compiled"


def compile_family(family: str, target: Path) -> None:
    """Write the compiled pipeline of a family to `target`; equal sources give equal bytes."""
    from kfp import compiler

    pipeline = importlib.import_module(f"slipway.pipelines.{family}").pipeline
    compiler.Compiler().compile(pipeline, str(target))


def stale() -> list[str]:
    """Families whose golden file is not what their source compiles to."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = {family: Path(folder) / f"{family}.yaml" for family in FAMILIES}
        for family, target in fresh.items():
            compile_family(family, target)
        golden = {family: COMPILED / f"{family}.yaml" for family in FAMILIES}
        return [f for f in FAMILIES if not golden[f].is_file() or golden[f].read_bytes() != fresh[f].read_bytes()]


def main(argv: Sequence[str] | None = None) -> int:
    """Write the golden files and lint them, or with `--check` change nothing; 0 when all is well."""
    from slipway.pipelines import lint

    parser = argparse.ArgumentParser(prog="python -m slipway.pipelines.compile", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when a golden file is stale")
    check = parser.parse_args(argv).check
    findings = []
    if check:
        findings += [f"{COMPILED.name}/{family}.yaml: stale; run `make compile`" for family in stale()]
    else:
        COMPILED.mkdir(exist_ok=True)
        for family in FAMILIES:
            compile_family(family, COMPILED / f"{family}.yaml")
    for family in FAMILIES:
        path = COMPILED / f"{family}.yaml"
        if path.is_file():
            findings += [f"{path.name}: {finding}" for finding in lint.lint(*lint.load(path), submitting=False)]
    for finding in findings:
        print(finding, file=sys.stderr)  # noqa: T201  # a command of its own
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
