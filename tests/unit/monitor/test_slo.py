import pytest

from slipway.errors import ConfigError
from slipway.monitor import slo

LATENCY = "{name: latency, what: latency, objective: 0.99, bound_s: 0.25}"
BURN = "{factor: 14.4, long: 1h, short: 5m, severity: critical}"


def load(tmp_path, *slos, burn_rates=BURN, more=""):
    path = tmp_path / "slo.yaml"
    path.write_text(f"slos: [{', '.join(slos)}]\nburn_rates: [{burn_rates}]\n{more}", encoding="utf-8")
    return slo.load(path)


def test_the_products_own_table_has_both_kinds_and_the_four_usual_windows():
    table = slo.load()
    assert {s.what for s in table.slos} == set(slo.KINDS)
    assert [(b.factor, b.long, b.short) for b in table.burn_rates] == [
        (14.4, "1h", "5m"),
        (6, "6h", "30m"),
        (3, "1d", "2h"),
        (1, "3d", "6h"),
    ]


def test_an_alert_needs_more_requests_than_one_bad_one_could_set_off(tmp_path):
    table = load(tmp_path, "{name: errors, what: errors, objective: 0.999, min_requests: 10}")
    (errors,), (burn,) = table.slos, table.burn_rates
    needed = errors.needed(burn)
    assert 1 / needed <= burn.factor * errors.budget < 1 / (needed - 1)
    assert load(tmp_path, "{name: errors, what: errors, objective: 0.999, min_requests: 90}").slos[0].needed(burn) == 90


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("{name: a, what: latency, objective: 0.99, bound_s: 0.3}", "bound_s: 0.3 is no bucket; one of 0.001, 0.002"),
        ("{name: a, what: latency, objective: 0.99}", "bound_s: latency needs one"),
        ("{name: a, what: errors, objective: 0.99, bound_s: 0.25}", "bound_s: latency needs one, errors have none"),
        ("{name: a, what: errors, objective: 99}", "objective: must be above 0 and below 1, got 99"),
        ("{name: a, what: errors, objective: 0.9}", "at 0.9 a burn rate of 14.4 is more than all requests"),
        ("{name: a, what: error, objective: 0.99}", "unknown 'error'; did you mean 'errors'?"),
        ("{name: a, what: errors, objectiv: 0.99}", r"slos\[0\]: unknown 'objectiv'; did you mean 'objective'"),
        ("{name: a, what: errors}", r"slos\[0\]: objective is missing; needed are name, what, objective"),
        ("{name: a, what: errors, objective: 0.99, min_request: 5}", "unknown 'min_request'; did you mean 'min_requests'?"),
        ("{name: a, what: errors, objective: 0.99, min_requests: 0}", "min_requests: must be >= 1"),
        ("{name: a, what: errors, objective: 0.99, protocols: [grpc]}", "unknown 'grpc'; did you mean 'grpc_v2'?"),
        ("{name: a, what: errors, objective: 0.99, models: 3}", r"slos\[0\].models: must be a text or a list of texts, got 3"),
        ('{name: a, what: errors, objective: 0.99, models: ["a.*"]}', "is no model's name"),
        ("{name: A b, what: errors, objective: 0.99}", "slo name: 'A b' must be"),
        ("{name: a, what: errors, objective: high}", "objective: must be a number, got 'high'"),
        (f"{LATENCY}, {LATENCY}", "slos: latency is there more than once"),
        ("", "slos: at least one is needed"),
        ("errors", r"slos\[0\]: must be a table"),
    ],
)
def test_a_wrong_objective_is_told_with_its_place(entry, told, tmp_path):
    with pytest.raises(ConfigError, match=told) as raised:
        load(tmp_path, entry)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("burn", "told"),
    [
        ("{factor: 2, long: 5m, short: 1h, severity: critical}", r"short: must be shorter than long \(5m\), got 1h"),
        ("{factor: 2, long: 1 hour, short: 5m, severity: critical}", "'1 hour' must be a number and s, m, h or d"),
        ("{factor: 0, long: 1h, short: 5m, severity: critical}", "factor: must be > 0"),
        ("{factor: 2, long: 1h, short: 5m, severity: page}", "severity: unknown 'page'"),
        ("{factor: 2, long: 1h, short: 5m}", "severity is missing"),
    ],
)
def test_a_wrong_burn_rate_is_told(burn, told, tmp_path):
    with pytest.raises(ConfigError, match=told):
        load(tmp_path, LATENCY, burn_rates=burn)


def test_a_file_that_is_no_table_is_told(tmp_path):
    with pytest.raises(ConfigError, match="unknown 'slo'; did you mean 'slos'"):
        load(tmp_path, LATENCY, more="slo: 1\n")
    path = tmp_path / "text.yaml"
    for text, told in (
        ("a: [", "not YAML .line 1"),
        ("just words", "must be a table"),
        ("slos: 3\nburn_rates: []", "slos: must be a list"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=told):
            slo.load(path)


def test_an_objective_without_models_leaves_those_to_others_that_name_them(tmp_path):
    own = "{name: slow, what: latency, objective: 0.99, bound_s: 1, models: [parts]}"
    common, slow, errors = load(tmp_path, LATENCY, own, "{name: errors, what: errors, objective: 0.99}").slos
    table = load(tmp_path, LATENCY, own, "{name: errors, what: errors, objective: 0.99}")
    assert [table.named_elsewhere(s) for s in (common, slow, errors)] == [("parts",), (), ()]
