"""The OpenAPI schema is valid, knows each declared kind, and what it shows as examples is accepted."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from drf_spectacular.validation import validate_schema

from tests.events.doors import Client
from tests.events.fakes import FakeDelivery


def schema() -> Any:
    response = Client().get("/api/schema", headers={"Accept": "text/html"})
    assert (response.status_code, response["Content-Type"]) == (200, "application/json")
    return response.json()


def test_it_is_a_valid_schema_of_the_two_addresses(page_view: None) -> None:
    found = schema()
    validate_schema(found)
    assert {path: sorted(methods) for path, methods in found["paths"].items()} == {
        "/api/events": ["post"],
        "/api/select": ["get", "post"],
    }
    for methods in found["paths"].values():
        for operation in methods.values():
            assert {"201", "202", "400", "405", "429", "500", "503"} <= set(operation["responses"])
            assert "Retry-After" in operation["responses"]["503"]["headers"]
    for path in found["paths"].values():
        assert {"413", "415"} <= set(path["post"]["responses"])
        parameters = {parameter["name"]: parameter["schema"] for parameter in path["post"]["parameters"]}
        assert set(parameters["Content-Encoding"]["enum"]) == {"gzip", "deflate", "identity"}


def test_every_reference_leads_somewhere(page_view: None) -> None:
    found = schema()

    def references(part: Any) -> Iterator[str]:
        if isinstance(part, dict):
            yield from [part["$ref"]] if "$ref" in part else []
            part = list(part.values())
        if isinstance(part, list):
            for inner in part:
                yield from references(inner)

    for reference in set(references(found)):
        target = found
        for name in reference.removeprefix("#/").split("/"):
            target = target[name]


def test_a_kind_that_is_declared_appears_by_itself(page_view: None) -> None:
    schemas = schema()["components"]["schemas"]
    assert schemas["Event"]["oneOf"] == [
        {"$ref": "#/components/schemas/event.select-color"},
        {"$ref": "#/components/schemas/event.page-view"},
    ]
    view = schemas["event.page-view"]
    assert view["description"] == "Somebody looked at a page."
    assert view["required"] == ["event", "path"]
    assert view["properties"]["path"] == {**view["properties"]["path"], "type": "string", "maxLength": 2048}
    assert view["properties"]["seconds"]["anyOf"][0] == {
        "type": "integer",
        "minimum": 0,
        "maximum": 2**53 - 1,
    }
    assert schemas["event.select-color"]["required"] == ["colorName", "userName"]


def test_without_declarations_there_is_one_kind() -> None:
    assert [name for name in schema()["components"]["schemas"] if name.startswith("event.")] == ["event.select-color"]


@pytest.mark.usefixtures("door")
def test_its_examples_are_accepted(page_view: None, delivery: FakeDelivery) -> None:
    found = schema()
    content = found["paths"]["/api/events"]["post"]["requestBody"]["content"]
    for media_type, described in content.items():
        assert set(described["examples"]) == {"select-color", "page-view", "batch"}
        for example in described["examples"].values():
            response = Client().post("/api/events", json.dumps(example["value"]), media_type)
            assert (response.status_code, response.json()["rejected"]) == (202, [])
    select = found["paths"]["/api/select"]
    choice = {
        parameter["name"]: parameter["examples"]
        for parameter in select["get"]["parameters"]
        if parameter["in"] == "query"
    }
    values = {name: next(iter(examples.values()))["value"] for name, examples in choice.items()}
    assert Client().get("/api/select", values).status_code == 202
    (posted,) = select["post"]["requestBody"]["content"]["application/json"]["examples"].values()
    assert Client().post("/api/select", json.dumps(posted["value"]), "application/json").status_code == 202


@pytest.mark.browser
@pytest.mark.django_db
@pytest.mark.parametrize(("locale", "title"), [("en-US", "The collector’s API"), ("ko-KR", "수집기 API")])
def test_the_page_shows_it_in_a_browser(
    page_view: None, browser: Any, live_server: Any, locale: str, title: str
) -> None:
    context = browser.new_context(locale=locale)
    page = context.new_page()
    problems: list[str] = []
    foreign: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "request",
        lambda request: None if request.url.startswith((live_server.url, "data:")) else foreign.append(request.url),
    )
    response = page.goto(f"{live_server.url}/api/docs")
    assert "script-src 'self';" in response.headers["content-security-policy"]
    page.locator("#operations-events-events_post").wait_for()
    assert page.locator("h1").first.inner_text() == title
    page.locator("#operations-events-events_post .opblock-summary-control").click()
    page.get_by_text("Good events are taken").wait_for()
    assert page.locator(".models").get_by_text("event.page-view").count() >= 1
    assert (problems, foreign) == ([], [])
    context.close()
