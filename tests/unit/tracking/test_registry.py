"""Versions by release, aliases by gate and promotion."""

from datetime import UTC, datetime

import pytest

from slipway.errors import ConfigError, ConflictError, NotFoundError
from slipway.tracking import client, registry
from slipway.tracking.runs import open_run

pytestmark = [pytest.mark.usefixtures("empty_cwd")]


@pytest.fixture
def release(own):
    def make(digest, champion=None, name="cv-digits", accuracy=0.9):
        return registry.register(
            name,
            release_uri=f"/store/models/{name}/{digest}",
            release_digest=digest,
            bundle_digest="b" + digest,
            run_id="r-" + digest,
            accuracy=accuracy,
            expected_champion=champion,
            settings=own,
        )

    return make


def test_registered_release_is_challenger_until_promoted(own, release):
    with open_run("r-d1", name="n", settings=own) as run:
        pass
    first = release("d1")
    assert (first.name, first.version, first.aliases, first.accuracy) == ("cv-digits", 1, ("challenger",), 0.9)
    assert (first.release_uri, first.release_digest, first.bundle_digest) == ("/store/models/cv-digits/d1", "d1", "bd1")
    assert first.run_id == "r-d1"
    assert abs((datetime.now(UTC) - first.created).total_seconds()) < 60
    stored = client.connect(own.tracking_uri).get_model_version("cv-digits", "1")
    assert (stored.source, stored.run_id) == (first.release_uri, run.id)
    assert registry.champion("cv-digits", settings=own) is None
    assert registry.promote("cv-digits", settings=own).aliases == ("champion",)
    second = release("d2", champion="d1", accuracy=None)
    assert (second.version, second.aliases, second.accuracy) == (2, ("challenger",), None)
    assert registry.champion("cv-digits", settings=own).version == 1
    assert registry.promote("cv-digits", 2, settings=own).aliases == ("champion",)
    assert [v.aliases for v in registry.versions("cv-digits", settings=own)] == [(), ("champion",)]


def test_registering_a_release_again_gives_the_same_version(own, release):
    release("d1")
    assert release("d1").version == 1
    registry.promote("cv-digits", settings=own)
    assert release("d1").aliases == ("champion",), "also a retry that comes after the promotion"
    assert len(registry.versions("cv-digits", settings=own)) == 1


def test_steps_that_register_a_release_at_once_agree(own, release, monkeypatch):
    create = registry._create

    def late(*args):
        monkeypatch.setattr(registry, "_create", create)
        release("d1")
        return create(*args)

    monkeypatch.setattr(registry, "_create", late)
    assert release("d1").version == 1
    assert [(v.version, v.aliases) for v in registry.versions("cv-digits", settings=own)] == [(1, ("challenger",))]
    assert release("d2").version == 3, "numbers are not given twice"


@pytest.mark.parametrize(("expected", "says"), [(None, "with none"), ("d0", "with d0")])
def test_register_refuses_when_the_champion_changed(own, release, expected, says):
    release("d1")
    registry.promote("cv-digits", settings=own)
    with pytest.raises(ConflictError, match=rf"the champion is version 1 \(d1\), the gate compared {says}; evaluate and gate"):
        release("d2", champion=expected)
    assert len(registry.versions("cv-digits", settings=own)) == 1


def test_resolve_understands_name_alias_and_version(own, release):
    release("d1")
    registry.promote("cv-digits", settings=own)
    release("d2", champion="d1")
    found = [registry.resolve(s, settings=own).version for s in ("cv-digits", "cv-digits@challenger", "cv-digits:1")]
    assert found == [1, 2, 1]
    assert registry.resolve("cv-digits@champion", settings=own) == registry.champion("cv-digits", settings=own)


def test_what_is_not_there_is_answered_with_what_is(own, release):
    release("d1")
    release("d1", name="nlp-reviews")
    for spec, says in {
        "cv-digit": "model: unknown 'cv-digit'; did you mean 'cv-digits'? Known: cv-digits, nlp-reviews",
        "x'; drop": "Known: cv-digits, nlp-reviews",
        "cv-digits:7": "version of model cv-digits: unknown '7'. Known: 1",
        "cv-digits@prod": "model cv-digits: no version has the alias 'prod'. Versions: 1 challenger",
        "cv-digits": "'champion'; slipway promote cv-digits makes the challenger champion. Versions: 1 challenger",
    }.items():
        with pytest.raises(NotFoundError) as caught:
            registry.resolve(spec, settings=own)
        assert says in str(caught.value)
    registry.promote("cv-digits", settings=own)
    with pytest.raises(NotFoundError, match=r"no version has the alias 'challenger'\. Versions: 1 champion"):
        registry.promote("cv-digits", settings=own)
    with pytest.raises(NotFoundError, match="unknown '2'"):
        registry.promote("cv-digits", 2, settings=own)


def test_empty_registry_has_no_names_and_no_champion(own):
    assert registry.names(settings=own) == []
    assert registry.champion("cv-digits", settings=own) is None
    with pytest.raises(NotFoundError, match=r"unknown 'cv-digits'\. Known: none"):
        registry.versions("cv-digits", settings=own)


def test_models_of_others_are_not_shown(own, release):
    c = client.connect(own.tracking_uri)
    for name in ("theirs", "cv-digits"):
        c.create_registered_model(name)
        c.create_model_version(name, "s3://bucket/x")
    assert release("d1").version == 2
    assert registry.names(settings=own) == ["cv-digits"]
    assert [v.version for v in registry.versions("cv-digits", settings=own)] == [2]


def test_model_name_with_odd_characters_is_refused(release):
    with pytest.raises(ConfigError, match="model name 'my model': must be at most 128 characters"):
        release("d1", name="my model")
