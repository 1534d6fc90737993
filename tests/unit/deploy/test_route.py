import pytest

from slipway.deploy.route import GRPC_PATH, Gateway, canary_percent, gateway_of, http_route, parse_gateway
from slipway.errors import ConfigError
from slipway.protocol.messages import SERVICE

GATEWAY = Gateway(namespace="infra", name="gw", domain="models.example")


def backends(route):
    return [{b["name"]: (b["port"], b["weight"]) for b in rule["backendRefs"]} for rule in route["spec"]["rules"]]


def test_both_protocols_are_divided_alike():
    route = http_route("cv", "team-a", GATEWAY, canary_percent=20)
    grpc, rest = route["spec"]["rules"]
    assert grpc["matches"] == [{"path": {"type": "PathPrefix", "value": f"/{SERVICE}"}}]
    assert rest["matches"] == [{"path": {"type": "PathPrefix", "value": "/"}}]
    assert backends(route) == [
        {"cv-predictor": (8081, 80), "cv-canary-predictor": (8081, 20)},
        {"cv-predictor": (80, 80), "cv-canary-predictor": (80, 20)},
    ]
    assert route["spec"]["hostnames"] == ["cv.team-a.models.example"]
    assert f"/{SERVICE}" == GRPC_PATH


def test_without_a_share_the_canary_need_not_be_there():
    assert backends(http_route("cv", "team-a", GATEWAY)) == [{"cv-predictor": (8081, 100)}, {"cv-predictor": (80, 100)}]


def test_whole_share_leaves_the_stable_one_in_the_route():
    assert backends(http_route("cv", "team-a", GATEWAY, canary_percent=100))[1] == {
        "cv-predictor": (80, 0),
        "cv-canary-predictor": (80, 100),
    }


@pytest.mark.parametrize("percent", [0, 1, 99, 100])
@pytest.mark.parametrize("timeout_s", [0, 90])
def test_route_can_be_read_back(percent, timeout_s):
    gateway = Gateway(namespace="infra", name="gw", domain="models.example", timeout_s=timeout_s)
    route = http_route("cv", "team-a", gateway, canary_percent=percent)
    assert gateway_of(route) == gateway
    assert canary_percent(route) == percent
    assert ("timeouts" in route["spec"]["rules"][0]) == bool(timeout_s)


@pytest.mark.parametrize("percent", [-1, 101])
def test_share_out_of_range_is_refused(percent):
    with pytest.raises(ConfigError, match="must be 0 to 100 percent"):
        http_route("cv", "team-a", GATEWAY, canary_percent=percent)


def test_gateway_of_the_settings():
    assert parse_gateway("", "") is None
    assert parse_gateway("infra/gw", "models.example") == GATEWAY


@pytest.mark.parametrize(
    ("gateway", "domain"), [("gw", "a.b"), ("/gw", "a.b"), ("infra/gw", ""), ("", "a.b"), ("infra/", "a.b")]
)
def test_half_a_gateway_is_refused(gateway, domain):
    with pytest.raises(ConfigError, match="needs both, NAMESPACE/NAME of a Gateway and a domain"):
        parse_gateway(gateway, domain)


def test_domain_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="must be a DNS name"):
        parse_gateway("infra/gw", "http://models.example")
