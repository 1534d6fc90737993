"""Recurring runs on Kubeflow Pipelines: the retraining schedule of a model."""

import json
import re
from dataclasses import dataclass
from typing import Any

from slipway.errors import ConfigError, NotFoundError, unknown
from slipway.runs import cluster, kfp_api
from slipway.runs.parameters import compiled
from slipway.settings import Settings

CRON = re.compile(r"[\d*/,\-A-Za-z?]+( [\d*/,\-A-Za-z?]+){4}")
PAGE = 100


@dataclass(frozen=True, slots=True)
class Schedule:
    """One recurring run."""

    name: str
    cron: str
    """Minute, hour, day of month, month, day of week; in the time zone of the KFP installation, UTC as shipped."""
    enabled: bool
    family: str
    id: str
    """KFP's."""


def add(family: str, name: str, cron: str, parameters: dict[str, Any], *, settings: Settings) -> Schedule:
    """Run a family's pipeline at every time that `cron` names, one run at a time; a missed time is not made up for.

    The pipeline, its image and its GPUs are fixed now; data and champion are those of each run's own time. A schedule of the
    same name is replaced, once the new one is there.

    Args:
        name: of the schedule.
        cron: five fields, as crontab has them.
        parameters: typed values of the pipeline's parameters; `data` must be a URI.
    Raises:
        ConfigError: no host or image is set, `cron` has not five fields, `data` is on this machine, or the linter refuses.
        ClusterError: KFP does not answer or refuses.
    """
    kfp_api.host(settings)
    if not CRON.fullmatch(cron):
        raise ConfigError(f"--cron '{cron}': must be five fields, minute hour day month weekday, such as '0 3 * * *'")
    data = str(parameters.get("data", ""))
    if data and "://" not in data:
        raise ConfigError(
            f"--data {data}: a schedule reads it again each time; put it where pods see it change, such as s3://…"
        )
    ir, platform = cluster.submission(compiled(family), settings=settings)
    client = kfp_api.connect(settings)
    with kfp_api.answering(settings), kfp_api.package(ir, platform) as path:
        made = client.create_recurring_run(
            kfp_api.experiment(client, settings), name, description=family, cron_expression=f"0 {cron}", max_concurrency=1,
            no_catchup=True, params=parameters, pipeline_package_path=path, pipeline_root=kfp_api.root(settings),
            service_account=settings.kfp_service_account or None,
        )  # fmt: skip
    schedule = _read(made)
    for old in listing(settings, client=client):
        if old.name == name and old.id != schedule.id:
            with kfp_api.answering(settings):
                _end(client, old.id)
    return schedule


def listing(settings: Settings, *, client: Any = None) -> list[Schedule]:
    """Every schedule of ours, by name. Raises: ConfigError, ClusterError: as `add`."""
    client = client or kfp_api.connect(settings)
    found: list[Schedule] = []
    token = ""
    with kfp_api.answering(settings):
        ours = kfp_api.experiment(client, settings)
        while True:
            page = client.list_recurring_runs(page_token=token, page_size=PAGE, experiment_id=ours)
            found += [_read(run) for run in page.recurring_runs or []]
            token = page.next_page_token or ""
            if not token:
                return sorted(found, key=lambda schedule: schedule.name)


def remove(name: str, settings: Settings) -> list[str]:
    """End a schedule: it starts nothing more.

    Returns: ids of its runs that still go on; as long as there are some it stays, disabled, and another call removes it.
    Raises: NotFoundError: there is none of that name. ConfigError, ClusterError: as `add`.
    """
    client = kfp_api.connect(settings)
    known = listing(settings, client=client)
    ids = [schedule.id for schedule in known if schedule.name == name]
    if not ids:
        raise NotFoundError(unknown("schedule", name, {schedule.name for schedule in known}))
    with kfp_api.answering(settings):
        return [run for id_ in ids for run in _end(client, id_)]


def _end(client: Any, id_: str) -> list[str]:
    """Disable, and delete unless runs go on: the schedule owns their workflows, and Kubernetes deletes those with it."""
    client.disable_recurring_run(id_)
    of_it = {"predicates": [{"operation": "EQUALS", "key": "recurring_run_id", "stringValue": id_}]}
    runs = client.list_runs(page_size=PAGE, sort_by="created_at desc", filter=json.dumps(of_it)).runs or []
    going = [str(run.run_id) for run in runs if str(run.state or "").upper() not in cluster.ENDED]
    if not going:
        client.delete_recurring_run(id_)
    return going


def _read(run: Any) -> Schedule:
    cron = str(run.trigger.cron_schedule.cron) if run.trigger and run.trigger.cron_schedule else ""
    enabled = str(run.status or run.mode or "").upper().startswith("ENABLE")
    return Schedule(
        str(run.display_name), cron.removeprefix("0 "), enabled, str(run.description or ""), str(run.recurring_run_id)
    )
