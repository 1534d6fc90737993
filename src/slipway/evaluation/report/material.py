"""What the pages are made of, and what is worth telling of it: verdict, numbers, mistakes, data, lineage."""

# N items, K classes

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from slipway.bundle import Bundle
from slipway.config import defaults, to_text
from slipway.data.checks import report
from slipway.data.dataset import Dataset
from slipway.evaluation.scores import Scores
from slipway.evaluation.summary import HEADLINES

MISTAKES = 12
"""Wrong answers that are shown, the most confident first."""
PAIRS = 5
"""Pairs of classes that are told as confused."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Material:
    """One run, as it is told to people."""

    model: str
    """Name in the registry."""
    run_id: str
    scores: Scores
    verdict: Mapping[str, Any]
    """verdict.json."""
    bundle: Bundle
    dataset: Dataset
    checked: Path
    """What `data.checks` wrote of the data set."""
    history: Sequence[Mapping[str, Any]]
    """Of the epochs, from the checkpoint's model.json."""
    seconds: Mapping[str, Any]
    """timings.json of the checkpoint."""

    @property
    def passed(self) -> bool:
        """Whether the gate let the model through."""
        return bool(self.verdict["verdict"] == "pass")

    @property
    def headlines(self) -> list[dict[str, Any]]:
        """Name for people, value, low and high of every headline number that is defined."""
        found = self.scores.summary
        return [
            {"name": title, "value": found[key], "low": found[f"{key}_low"], "high": found[f"{key}_high"]}
            for key, title in HEADLINES.items()
            if found[key] is not None
        ]

    @property
    def classes(self) -> list[dict[str, Any]]:
        """Per class the numbers of `summary.summarise`, its label, and how many items there were to train on."""
        trained = self.dataset.counts["train"]
        rows = zip(self.bundle.labels, self.scores.summary["classes"], strict=True)
        return [{"label": label, "trained": trained.get(label, 0), **row} for label, row in rows]

    @property
    def confused(self) -> list[dict[str, Any]]:
        """The most frequent pairs of true class and wrong answer: `true`, `answer`, `count`, share of the true class."""
        confusion = self.scores.summary["confusion"]
        labels = self.bundle.labels
        pairs = [
            {"true": labels[i], "answer": labels[j], "count": count, "share": count / sum(row)}
            for i, row in enumerate(confusion)
            for j, count in enumerate(row)
            if i != j and count
        ]
        return sorted(pairs, key=lambda pair: -pair["count"])[:PAIRS]

    def mistakes(self) -> Iterator[dict[str, Any]]:
        """The most confident wrong answers: position, id, raw item, true class, answer, its and the true one's probability."""
        scores = self.scores
        answer_N = scores.probabilities_NK.argmax(axis=1)
        wrong = np.flatnonzero(~scores.right_N)
        raw = self.dataset.raw("test")
        for i in wrong[np.argsort(-scores.probabilities_NK[wrong, answer_N[wrong]], kind="stable")][:MISTAKES]:
            yield {
                "id": scores.ids[i],
                "raw": raw[int(i)],
                "true": self.bundle.labels[scores.labels_N[i]],
                "answer": self.bundle.labels[answer_N[i]],
                "confidence": float(scores.probabilities_NK[i, answer_N[i]]),
                "true_probability": float(scores.probabilities_NK[i, scores.labels_N[i]]),
            }

    @property
    def checks(self) -> report.Report:
        """What the checks of the data found."""
        return report.load(self.checked)

    @property
    def settings(self) -> dict[str, str]:
        """Options of training that its architecture reads and that are not at their defaults, as `--set` takes them; of
        files the names: where they lie on one machine is nobody else's business.
        """
        from slipway.training import options
        from slipway.training.recipe import TrainConfig

        usual, config = defaults(TrainConfig), self.bundle.meta["config"]
        read = options.used(self.bundle.family, str(self.bundle.meta["architecture"]))
        told = {name: to_text(config[name]) for name in read if name in config and config[name] != usual[name]}
        return {name: PurePath(text).name if text.startswith("/") else text for name, text in told.items()}

    @property
    def lineage(self) -> dict[str, str]:
        """Digests and fingerprints, each of which names one thing for ever."""
        meta = self.bundle.meta
        return {
            "data": self.dataset.fingerprint,
            "checkpoint": meta["training"]["checkpoint"],
            "bundle": self.bundle.digest,
            "scores": self.scores.digest,
            "code": meta["code"],
        }
