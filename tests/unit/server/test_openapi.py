"""The published OpenAPI: schemathesis asks every route what it says that it takes, and holds it to what it publishes."""

import re

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from slipway.server.app import create_app
from slipway.server.http import TIMEOUT
from slipway.server.models import served_model

CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.unsupported_method,
]
PUBLISHED = schemathesis.openapi.from_dict(create_app([served_model("any", "nowhere")]).openapi())
OPERATIONS = {operation.ok().label: operation.ok() for operation in PUBLISHED.get_all_operations()}


def test_there_is_an_operation_a_route():
    assert len(OPERATIONS) == 26


@pytest.mark.parametrize("label", OPERATIONS)
def test_a_route_keeps_to_what_it_publishes(served, label):
    @settings(max_examples=15, deadline=None, derandomize=True, database=None, suppress_health_check=[*HealthCheck])
    @given(case=OPERATIONS[label].as_strategy(), model=st.sampled_from(["cv-tiny", "nlp-tiny", "sums", None]))
    def ask(case, model):
        if "model" in case.path_parameters and model is not None:  # else nearly all would be unknown
            case.path_parameters["model"] = model
        case.headers.pop(TIMEOUT, None)  # who allows a millisecond gets 504, and is right to
        response = case.call(base_url=str(served.http.base_url))
        case.validate_response(response, checks=CHECKS)
        seen.add(response.status_code)

    seen = set()
    ask()
    if label.startswith("GET") and "version" not in label:
        assert 200 in seen


@pytest.mark.parametrize("label", [label for label in OPERATIONS if label.startswith("POST")])
def test_an_example_is_answered_as_published(served, label):
    operation = OPERATIONS[label]
    told = PUBLISHED.raw_schema["paths"][operation.path]["post"]["requestBody"]["content"]["application/json"]["examples"]
    for name, example in told.items():
        family = {"text": "nlp", "reasons": "nlp"}.get(name, "cv")
        version = served.http.get(f"/v2/models/{family}-tiny").json()["versions"][0]
        body = example["value"]
        if body.get("model"):  # of another server
            body = body | {"model": "defect-tiny"}
        path = {key: value for key, value in {"model": f"{family}-tiny", "version": version}.items() if key in operation.path}
        case = operation.Case(path_parameters=path, body=body, media_type="application/json")
        response = case.call(base_url=str(served.http.base_url))
        case.validate_response(response, checks=CHECKS)
        assert response.status_code == (403 if label.endswith("load") else 200), response.text


def test_every_request_and_answer_has_a_schema_and_every_schema_is_used():
    told = PUBLISHED.raw_schema
    schemas = told["components"]["schemas"]
    assert set(re.findall(r"#/components/schemas/(\w+)", str(told))) == set(schemas)
    for path, operations in told["paths"].items():
        for operation in operations.values():
            for answer in operation["responses"].values():
                assert all("schema" in content for content in answer["content"].values()), path
