"""Recurring runs, against a server that checks every body and starts what is due."""

import json
from dataclasses import replace

import pytest

from slipway import cli
from slipway import settings as settings_
from slipway.errors import ConfigError, NotFoundError
from slipway.runs import schedule
from slipway.runs.parameters import resolve
from tests.helpers.kfp_stub import KfpStub

IMAGE = "registry.example/slipway-train@sha256:" + "0" * 64
NIGHTLY = "0 3 * * *"


@pytest.fixture
def stub(tmp_path):
    with KfpStub(tmp_path / "kfp") as stub:
        yield stub


@pytest.fixture
def settings(stub):
    return replace(settings_.load(), kfp_host=stub.host, train_image=IMAGE, store="s3://slipway/teams/a")


def add(settings, name="cv-parts", cron=NIGHTLY, **values):
    return schedule.add("cv", name, cron, resolve("cv", preset="quick", values=values), settings=settings)


def test_a_schedule_is_made_listed_and_removed(settings, stub):
    add(settings)
    (body,) = stub.recurring.values()
    assert body["trigger"]["cron_schedule"]["cron"] == f"0 {NIGHTLY}", "KFP's has seconds"
    assert (body["max_concurrency"], body["no_catchup"]) == (1, True)
    assert body["runtime_config"]["pipeline_root"] == "s3://slipway/teams/a/kfp"
    (listed,) = schedule.listing(settings)
    assert (listed.name, listed.family, listed.cron, listed.enabled) == ("cv-parts", "cv", NIGHTLY, True)
    schedule.remove("cv-parts", settings)
    assert schedule.listing(settings) == []


def test_the_run_that_is_due_is_the_pipeline_with_its_parameters(settings, stub):
    made = add(settings, epochs="2")
    stub.fire(made.id)
    (run,) = stub.runs.values()
    assert run.body["runtime_config"]["parameters"]["epochs"] == 2
    executors = run.body["pipeline_spec"]["pipeline_spec"]["deploymentSpec"]["executors"]
    assert {e["container"]["image"] for e in executors.values()} == {IMAGE}


def test_a_schedule_of_the_same_name_is_replaced_and_others_stay(settings, stub):
    add(settings)
    add(settings, name="cv-other")
    add(settings, cron="30 4 * * 1")
    assert [(s.name, s.cron) for s in schedule.listing(settings)] == [("cv-other", NIGHTLY), ("cv-parts", "30 4 * * 1")]


def test_a_run_that_is_under_way_outlives_its_schedule(settings, stub):
    """KFP's run of a schedule is deleted with it: the schedule is disabled, and goes when its runs have ended."""
    made = add(settings)
    run_id = stub.fire(made.id)  # it goes on: there is no config map
    assert schedule.remove("cv-parts", settings) == [run_id]
    (left,) = schedule.listing(settings)
    assert not left.enabled
    stub.terminate(run_id)
    assert schedule.remove("cv-parts", settings) == []
    assert schedule.listing(settings) == []


def test_all_pages_are_read(settings, stub):
    stub.page_size = 2
    for i in range(5):
        add(settings, name=f"cv-{i}")
    assert len(schedule.listing(settings)) == 5
    schedule.remove("cv-4", settings)


@pytest.mark.parametrize("cron", ["0 3 * *", "0 0 3 * * *", "nightly", ""])
def test_a_cron_line_has_five_fields(settings, stub, cron):
    with pytest.raises(ConfigError, match=r"--cron .*five fields"):
        add(settings, cron=cron)
    assert not stub.requests


def test_data_of_this_machine_cannot_be_read_again(settings, tmp_path):
    with pytest.raises(ConfigError, match=r"--data .*reads it again each time"):
        add(settings, data=str(tmp_path))


def test_an_unknown_schedule_is_named_with_the_near_one(settings):
    add(settings)
    with pytest.raises(NotFoundError, match="did you mean 'cv-parts'"):
        schedule.remove("cv-part", settings)


def test_the_command_makes_lists_and_removes(settings, monkeypatch, capsys):
    monkeypatch.setenv("SLIPWAY_KFP_HOST", settings.kfp_host)
    monkeypatch.setenv("SLIPWAY_TRAIN_IMAGE", IMAGE)

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main(["schedule", *arguments, "--json"])
        out = capsys.readouterr().out
        return ended.value.code, json.loads(out) if out else None

    made = {"name": "cv-digits", "family": "cv", "cron": NIGHTLY, "enabled": True}
    assert run("cv", "--cron", NIGHTLY) == (0, made)
    assert run() == (0, {"schedules": [made]})
    assert run("--remove", "cv-digits") == (0, {"removed": "cv-digits", "going": []})
    assert run("cv") == (2, None)
    assert run("--cron", NIGHTLY) == (2, None)
