"""What the checks found: findings with their items, as they are written and read back."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from slipway.errors import BundleError, DataError
from slipway.store import files

FORMAT = 1
REPORT = "checks.json"
WARNING, REFUSAL = "warning", "refusal"


@dataclass(frozen=True, slots=True)
class Listed:
    """One item of a finding."""

    id: str
    """As in the data set's tables."""
    split: str
    label: str
    source: str
    """Where an image came from, or the beginning of a text."""
    group: int
    """Items with the same number belong together: the two of a pair."""
    note: str
    """What is the matter with it, in a few words; may be empty."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """Something that a person should look at."""

    check: str
    """A name in `config.CHECKS`."""
    level: str
    """`warning`, or `refusal`: no training on these data."""
    count: int
    """Of all items, pairs or classes concerned, as the message says."""
    message: str
    """One line."""
    advice: str
    """What to do about it, in one line."""
    items: Sequence[Listed] = ()
    """The worst first, up to `CheckConfig.listed_items`."""
    picture: str = ""
    """Contact sheet of the items, a file beside checks.json; empty without images."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """The outcome of all checks of one data set."""

    dataset: Mapping[str, Any]
    """Its name, fingerprint and number of items by split."""
    config: Mapping[str, Any]
    """The CheckConfig."""
    passed: Sequence[str]
    """Checks that were made and found nothing."""
    not_made: Mapping[str, str]
    """Checks that were asked for and could not tell anything: name -> why."""
    findings: Sequence[Finding]
    """In the order of `config.CHECKS`."""

    @property
    def refusals(self) -> list[Finding]:
        """The findings that forbid to go on."""
        return [finding for finding in self.findings if finding.level == REFUSAL]


def write(directory: Path, report: Report) -> None:
    """Write checks.json."""
    files.write_json(directory / REPORT, {"format": FORMAT, **asdict(report)}, sort_keys=False)


def load(path: Path) -> Report:
    """Read a directory that `check` wrote, verified.

    Raises: BundleError: damaged, incomplete or of a newer format.
    """
    files.verify(path)
    stored = files.read_json(path / REPORT)
    if stored.pop("format") != FORMAT:
        raise BundleError(f"{path / REPORT}: of another format than {FORMAT}, which this version reads; upgrade slipway")
    found = [Finding(**{**f, "items": [Listed(**item) for item in f["items"]]}) for f in stored.pop("findings")]
    return Report(**stored, findings=found)


def refuse(report: Report) -> None:
    """Go on only where no finding is a refusal; call it after the report is written.

    Raises: DataError: one line with each refusal, its worst items and what to do.
    """
    if not report.refusals:
        return
    reasons = []
    for finding in report.refusals:
        worst = ", ".join(f"{item.split}: {item.source or item.id}" for item in finding.items[:4])
        reasons.append(f"{finding.check}: {finding.message}{f' ({worst})' if worst else ''}; {finding.advice}")
    raise DataError(
        f"data set '{report.dataset['name']}' refused by its checks: {' | '.join(reasons)}; "
        f"or set checks.{report.refusals[0].check} to warn"
    )
