"""An Optuna study over options of training: each trial is one training, judged on validation, the hopeless ones cut short."""

import random
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from slipway.data.dataset import Dataset
from slipway.data.progress import to_stderr
from slipway.errors import ConfigError, ConflictError, SlipwayError, unknown
from slipway.models import architectures
from slipway.search.failure import traced
from slipway.search.space import Axis, typed
from slipway.settings import Settings
from slipway.store import files
from slipway.store.local import LocalStore
from slipway.training.recipe import TrainConfig

if TYPE_CHECKING:
    from optuna import Study
    from optuna.pruners import BasePruner
    from optuna.trial import FrozenTrial, Trial

    from slipway.training.history import EpochRecord

METRICS: dict[str, tuple[str, Literal["minimize", "maximize"]]] = {
    "accuracy": ("val_accuracy", "maximize"),
    "log_loss": ("val_loss", "minimize"),
}
"""Metric -> its name in the history of a training, and which way is better."""
DATABASE = "study.db"
_ABOUT = "about"


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a study came to."""

    trials: list[dict[str, Any]]
    """In their order: number, state (complete, pruned, failed), value, epochs, best_epoch, seconds, params, error."""
    best: dict[str, Any] | None
    """One of `trials`; None when none was completed."""
    checkpoint: Path | None
    """The best one's."""
    ours: bool
    """Whether a trial failed by an error that is none of SlipwayError: a mistake of ours, not a setting that cannot be."""


def tune(
    dataset: Dataset,
    common: TrainConfig,
    space: Mapping[str, Axis],
    folder: Path,
    *,
    trials: int,
    metric: str,
    settings: Settings,
    timeout_s: float | None = None,
    pruner: "BasePruner | None" = None,
) -> Tuned:
    """Train until the study in `folder` has `trials` trials that ended, or no further one may start.

    The study is in `folder/study.db`; the same call after a kill goes on, and the trial that was killed goes on from its last
    epoch. What is proposed depends on the seed, the trial's number and the trials before it alone. The folder keeps the
    checkpoint of the best trial. The test split is never read.

    Args:
        trials: that ended in any way, those of earlier calls among them.
        metric: a name in METRICS, of the epoch that training keeps.
        timeout_s: seconds after which no further trial starts.
        pruner: None: the median of the other trials at the same epoch, from the fifth trial on.
    Raises:
        ConflictError: the folder's study is of other data, settings or options.
        ConfigError: optuna is not installed.
    """
    try:
        import optuna
    except ImportError as exc:
        raise ConfigError(f"tune: optuna cannot be imported ({exc}); install slipway[search]") from exc
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    started = time.monotonic()
    study = optuna.create_study(
        study_name="tune",
        storage=f"sqlite:///{folder.absolute() / DATABASE}",
        direction=METRICS[metric][1],
        pruner=pruner or optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=max(1, common.epochs // 5)),
        load_if_exists=True,
    )
    _same(study, _about(dataset, common, space, metric), folder)
    while len(ended := [t for t in study.trials if t.state.is_finished()]) < trials:
        if timeout_s is not None and time.monotonic() - started > timeout_s:
            to_stderr(f"tune: time is up after {len(ended)} of {trials} trials; the same call goes on")
            break
        trial = _next(study)
        _try(study, trial, dataset, common, space, folder, metric, settings)
        _tell(study.trials[trial.number], trials, metric)
        _keep_best(study, folder)
    return _tuned(study, folder)


def _next(study: "Study") -> "Trial":
    """The trial that a killed process left, else a new one."""
    from optuna.trial import Trial, TrialState

    for left in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        to_stderr(f"tune: going on with trial {left.number}")
        return Trial(study, left._trial_id)
    return study.ask()


def _try(
    study: "Study",
    trial: "Trial",
    dataset: Dataset,
    common: TrainConfig,
    space: Mapping[str, Axis],
    folder: Path,
    metric: str,
    settings: Settings,
) -> None:
    """One trial to its end; a kill or an interruption leaves it running."""
    from optuna import TrialPruned
    from optuna.trial import TrialState

    from slipway.training.train import train

    where, key = _folder(folder, trial.number), METRICS[metric][0]
    earlier = study.trials[trial.number]
    started = time.monotonic() - earlier.user_attrs.get("seconds", 0.0)
    params = _proposed(study, trial, space, common.seed)
    to_stderr(f"tune: trial {trial.number}: {', '.join(f'{name} {_short(value)}' for name, value in params.items())}")
    told: dict[str, Any] = {}
    value, left, failure = None, where, None
    try:
        config = replace(common, **params)
        last = _epochs(config)

        def watch(record: "EpochRecord") -> None:
            trial.set_user_attr("seconds", time.monotonic() - started)
            if record.epoch not in earlier.intermediate_values:
                trial.report(getattr(record, key), record.epoch)
            if record.epoch < last and trial.should_prune():
                raise TrialPruned(f"after epoch {record.epoch}")

        checkpoint = where / "checkpoint"
        if not (checkpoint / files.MANIFEST).is_file():
            store = LocalStore(where / "state")
            train(dataset, config, checkpoint, store=store, cache=settings.home / "cache", on_epoch=watch)
        best = files.read_json(checkpoint / "model.json")["best"]
        state, value, left, told = TrialState.COMPLETE, float(best[key]), where / "state", {"epoch": int(best["epoch"])}
    except TrialPruned:
        state = TrialState.PRUNED
    except Exception as exc:  # noqa: BLE001  # one that cannot be trained is a result, too; the table and the exit code tell
        state, failure = TrialState.FAIL, exc
    files.discard(left)
    if failure is not None:
        told = {"error": traced(failure, where), "ours": not isinstance(failure, SlipwayError)}
    for name, said in told.items():
        trial.set_user_attr(name, said)
    study.tell(trial, value, state=state)


def _proposed(study: "Study", trial: "Trial", space: Mapping[str, Axis], seed: int) -> dict[str, Any]:
    """A value of every axis. Each has a sampler of its own, so that it does not matter whether a kill came in between."""
    from optuna.samplers import TPESampler

    params = {}
    for name, axis in space.items():
        own = random.Random(f"{seed} {trial.number} {name}").getrandbits(32)
        study.sampler = TPESampler(seed=own, multivariate=False, constant_liar=False)
        params[name] = axis.suggest(trial)
    return typed(params)


def _epochs(config: TrainConfig) -> int:
    """How many epochs a training has at most, counted as its observer is told of them."""
    fitted_once = architectures.find(config.resolved_architecture).input == "tfidf"
    return 1 if fitted_once else config.epochs * len(config.members)


def _about(dataset: Dataset, common: TrainConfig, space: Mapping[str, Axis], metric: str) -> dict[str, Any]:
    return {
        "data": files.read_manifest(dataset.path).digest,
        "config": asdict(replace(common, tensorboard="")),
        "space": {name: axis.about() for name, axis in space.items()},
        "metric": metric,
    }


def _same(study: "Study", about: Mapping[str, Any], folder: Path) -> None:
    """The study's own description is this one, or it has none yet."""
    found = study.user_attrs.get(_ABOUT)
    if found is None:
        study.set_user_attr(_ABOUT, dict(about))
    elif found != about:
        differs = next(name for name in about if found.get(name) != about[name])
        if isinstance(about[differs], dict):
            both = {**about[differs], **found[differs]}
            differs += "." + next(n for n in both if found[differs].get(n) != about[differs].get(n))
        raise ConflictError(
            f"{folder}: holds a study with another {differs}; choose another -o, or call with the same settings"
        )


def _keep_best(study: "Study", folder: Path) -> None:
    """Checkpoints are large: only the best trial's stays."""
    from optuna.trial import TrialState

    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    for trial in done:
        if trial.number != study.best_trial.number:
            files.discard(_folder(folder, trial.number))


def _tell(trial: "FrozenTrial", trials: int, metric: str) -> None:
    said = _row(trial)
    value = "" if said["value"] is None else f", {metric} {said['value']:.4f}"
    error = f": {said['error']}" if said["error"] else ""
    to_stderr(f"tune: trial {trial.number} ({trial.number + 1} of {trials}) {said['state']}{value}{error}")


def _tuned(study: "Study", folder: Path) -> Tuned:
    ended = [trial for trial in study.trials if trial.state.is_finished()]
    ours = any(trial.user_attrs.get("ours") for trial in ended)
    rows = [_row(trial) for trial in ended]
    if not any(row["state"] == "complete" for row in rows):
        return Tuned(rows, None, None, ours)
    best = next(row for row in rows if row["number"] == study.best_trial.number)
    return Tuned(rows, best, _folder(folder, best["number"]) / "checkpoint", ours)


def _row(trial: "FrozenTrial") -> dict[str, Any]:
    state = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}.get(trial.state.name, "running")
    return {
        "number": trial.number,
        "state": state,
        "value": trial.value,
        "epochs": max(trial.intermediate_values, default=0),
        "best_epoch": trial.user_attrs.get("epoch"),
        "seconds": float(trial.user_attrs.get("seconds", 0)),
        "params": typed(trial.params),
        "error": str(trial.user_attrs.get("error", "")),
    }


def _folder(folder: Path, number: int) -> Path:
    return folder / "trials" / f"{number:04d}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def checked_metric(metric: str) -> str:
    """The metric's name. Raises: ConfigError: there is no such metric."""
    if metric not in METRICS:
        raise ConfigError(unknown("--metric", metric, METRICS))
    return metric
