import json
import re
from html import unescape


def test_page_lists_every_route_with_examples_and_loads_nothing(client):
    page = client.get("/docs").text
    openapi = client.get("/openapi.json").json()
    assert len(openapi["paths"]) == 26
    for path, operations in openapi["paths"].items():
        assert path in page
        assert all("description" in operation for operation in operations.values()), path
    assert not re.findall(r"(?:src|href)=[\"']?(?:https?:)?//", page), "must work without a network"
    assert "<script" not in page
    assert 'href="./">playground' in page


def test_infer_is_documented_with_request_and_answers(client):
    for path, operations in client.get("/openapi.json").json()["paths"].items():
        if path.endswith("/infer"):
            content = operations["post"]["requestBody"]["content"]["application/json"]
            assert set(content["examples"]) == {"image", "pixels", "text", "reasons"}
            assert {"200", "400", "404", "413"} <= set(operations["post"]["responses"])


def test_example_request_on_the_page_works(client):
    commands = re.findall(r"curl -s http://[^/]+(\S+) -H '[^']+' -d '([^']+)'", unescape(client.get("/docs").text))
    assert len(commands) == 3
    for path, body in commands:
        response = client.post(path, content=body.encode())
        assert response.status_code == 200, response.text


def test_documented_requests_work(client):
    content = client.get("/openapi.json").json()["paths"]["/v2/models/{model}/infer"]["post"]["requestBody"]["content"]
    for name, example in content["application/json"]["examples"].items():
        model = "nlp-tiny" if name in ("text", "reasons") else "cv-tiny"
        response = client.post(f"/v2/models/{model}/infer", content=json.dumps(example["value"]).encode())
        assert response.status_code == 200, (name, response.text)
