"""Write the table of values in each chart's README from the comments of its values.yaml: `chart_readme.py [--check] [CHART …]`.

A comment that begins with `# --` stands above the value it explains. A value that is a mapping may carry the comment for all
that is below it; otherwise each value in it has its own, and one without is an error.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

CHARTS = Path(__file__).parents[1] / "charts"
BEGIN, END = "<!-- values: make charts-readme -->", "<!-- end of values -->"
MARK = "# -- "


class UndocumentedError(Exception):
    """A value has no comment."""


def rows(values: Path) -> Iterator[tuple[str, str, str]]:
    """Key, default and meaning of every documented value, in the file's order.

    Raises: UndocumentedError: a value has none, nor has what it is in.
    """
    text = values.read_text(encoding="utf-8")
    yield from _below(yaml.compose(text), "", text.splitlines(), values.name)


def _below(node: yaml.Node, prefix: str, lines: Sequence[str], where: str) -> Iterator[tuple[str, str, str]]:
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        meaning = _comment(lines, key.start_mark.line)
        if meaning:
            default = yaml.safe_load(yaml.serialize(value))
            yield name, json.dumps(default, ensure_ascii=False), meaning
        elif isinstance(value, yaml.MappingNode) and value.value:
            yield from _below(value, f"{name}.", lines, where)
        else:
            raise UndocumentedError(f"{where}:{key.start_mark.line + 1}: '{name}' has no comment '{MARK}…' above it")


def _comment(lines: Sequence[str], line: int) -> str:
    """The comment right above a line, from its mark on; several lines become one."""
    said: list[str] = []
    for above in reversed(lines[:line]):
        text = above.strip()
        if not text.startswith("#"):
            return ""
        said.insert(0, text.removeprefix(MARK).removeprefix("#").strip())
        if text.startswith(MARK):
            return " ".join(said)
    return ""


def table(values: Path) -> str:
    """The rows as Markdown."""
    found = [(f"`{key}`", f"`{default}`", meaning.replace("|", "\\|")) for key, default, meaning in rows(values)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [("Value", "Default", "Meaning"), ("---", "---", "---"), *found])


def fresh(chart: Path) -> str:
    """The README as it should be."""
    text = (chart / "README.md").read_text(encoding="utf-8")
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise UndocumentedError(f"{chart.name}/README.md: must have the lines '{BEGIN}' and '{END}'")
    return f"{head}{BEGIN}\n{table(chart / 'values.yaml')}\n{END}{tail}"


def main(argv: Sequence[str] | None = None) -> int:
    """Write, or with `--check` compare; 0 when all is well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when a README is stale")
    parser.add_argument("charts", nargs="*", type=Path, default=sorted(p.parent for p in CHARTS.glob("*/Chart.yaml")))
    options = parser.parse_args(argv)
    bad = False
    for chart in options.charts:
        readme = chart / "README.md"
        try:
            text = fresh(chart)
        except UndocumentedError as exc:
            print(f"error: {exc}", file=sys.stderr)
            return 2
        if text != readme.read_text(encoding="utf-8"):
            bad = bad or options.check
            if options.check:
                print(f"{chart.name}/README.md: stale; run `make charts-readme`", file=sys.stderr)
            else:
                readme.write_text(text, encoding="utf-8")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
