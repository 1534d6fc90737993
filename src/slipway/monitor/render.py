"""Write the rules and dashboards of the platform's chart: `python -m slipway.monitor.render [--check] …`."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from slipway.errors import ConfigError
from slipway.monitor import slo
from slipway.monitor.dashboards import dashboards
from slipway.monitor.rules import groups

INTO = Path("charts/slipway-platform/files")
"""Below the repository's root, where make runs it."""
HEAD = "# Made by `make monitoring` from src/slipway/monitor; change that.\n"


class _Dumper(yaml.SafeDumper):
    """Queries of several lines as blocks, as people write them."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def rendered(table: slo.Table) -> dict[str, str]:
    """Path below the folder -> text; the same every time."""
    rules: dict[str, Any] = {"groups": groups(table)}
    texts = {"rules.yaml": HEAD + yaml.dump(rules, Dumper=_Dumper, sort_keys=False, width=10_000, allow_unicode=True)}
    for name, page in dashboards(table).items():
        texts[f"dashboards/{name}.json"] = json.dumps(page, indent=2, ensure_ascii=False) + "\n"
    return texts


def stale(texts: dict[str, str], folder: Path) -> list[str]:
    """What in a folder is not as rendered, or nobody's any more."""
    there = {path.relative_to(folder).as_posix() for path in folder.glob("dashboards/*.json")}
    wrong = {name for name, text in texts.items() if not _same(folder / name, text)}
    return sorted(wrong | (there - set(texts)))


def _same(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def main(argv: Sequence[str] | None = None) -> int:
    """Write the files, or with `--check` change nothing; 0 when all is well, 1 when one is stale, 2 for a wrong table."""
    parser = argparse.ArgumentParser(prog="python -m slipway.monitor.render", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when a file is stale")
    parser.add_argument("--slos", type=Path, default=slo.TABLE, help="table of objectives; default the product's own")
    parser.add_argument("--into", type=Path, default=INTO, help=f"an existing folder; default {INTO}")
    args = parser.parse_args(argv)
    try:
        texts = rendered(slo.load(args.slos))
        if not args.into.is_dir():
            raise ConfigError(f"--into: {args.into} is no folder; run this in the repository, or make the folder first")
    except ConfigError as exc:
        sys.stderr.write(f"error: {exc}\n")
        return 2
    wrong = stale(texts, args.into)
    for name in wrong:
        path = args.into / name
        if args.check:
            sys.stderr.write(f"{path}: stale; run `make monitoring`\n")
        elif name in texts:
            path.parent.mkdir(exist_ok=True)
            path.write_text(texts[name], encoding="utf-8")
        else:
            path.unlink()
    return 1 if wrong and args.check else 0


if __name__ == "__main__":
    sys.exit(main())
