"""The console's requests hold a few threads of the website at most, whatever they wait for."""

from collections.abc import Callable, Iterator

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import request_finished
from django.db import close_old_connections
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.test import Client, RequestFactory
from pytest_django import Settings

from pipeline import budget, conf
from pipeline.budget import BudgetMiddleware

AT_ONCE = 3
CONSOLE = "/admin/console/sinks/"
AS_DATA = {"Accept": "application/json"}


@pytest.fixture(autouse=True)
def _few_places(settings: Settings) -> Iterator[None]:
    settings.CONSOLE = {"requests_at_once": AT_ONCE, "reads_at_once": 1, "downloads_at_once": 1}
    conf.console_settings.cache_clear()
    yield
    budget.PLACES.taken = 0


Ask = Callable[..., HttpResponseBase]


@pytest.fixture
def ask() -> Iterator[Ask]:
    """Asks for a path, as the web server does; the answer is not closed."""

    def view(request: HttpRequest) -> HttpResponseBase:
        if "error" in request.GET:
            raise RuntimeError("a mistake")
        return StreamingHttpResponse(iter([b"part"])) if "stream" in request.GET else HttpResponse("page")

    middleware = BudgetMiddleware(view)
    request_finished.disconnect(close_old_connections)  # the test's own
    yield lambda path=CONSOLE, **headers: middleware(RequestFactory().get(path, headers=headers or AS_DATA))
    request_finished.connect(close_old_connections)


def fill(ask: Ask) -> list[HttpResponseBase]:
    answers = [ask() for _ in range(AT_ONCE)]
    assert [answer.status_code for answer in answers] == [200] * AT_ONCE
    return answers


def test_a_request_beyond_the_bound_is_told_at_once_to_come_again(ask: Ask) -> None:
    open_ones = fill(ask)
    refused = ask()
    assert isinstance(refused, HttpResponse)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert b'"is_busy": true' in refused.content
    open_ones[0].close()
    assert [ask().status_code, ask().status_code] == [200, 503]


def test_an_answer_holds_its_place_until_it_is_closed_and_gives_one_back(ask: Ask) -> None:
    stream = ask(f"{CONSOLE}?stream=1")
    fill_up = [ask() for _ in range(AT_ONCE - 1)]
    assert list(stream) == [b"part"]
    assert ask().status_code == 503
    for _ in range(2):
        stream.close()
    assert [ask().status_code, ask().status_code] == [200, 503]
    assert all(answer.status_code == 200 for answer in fill_up)


def test_an_error_keeps_no_place(ask: Ask) -> None:
    for _ in range(AT_ONCE):
        with pytest.raises(RuntimeError):
            ask(f"{CONSOLE}?error=1")
    fill(ask)


def test_all_below_the_admin_is_bound_and_nothing_else(ask: Ask) -> None:
    fill(ask)
    for path in ("/admin/", "/admin/login/", "/admin/events/selectcolorevent/panels/", "/admin/console/topics/"):
        assert ask(path).status_code == 503, path
    for path in ("/", "/api/select", "/api/events", "/static/console/console.js", "/i18n/setlang/", "/administration"):
        assert ask(path).status_code == 200, path


@pytest.mark.parametrize(("language", "title"), [("en", "The console is busy"), ("ko", "콘솔이 바쁩니다")])
def test_a_person_gets_a_page_that_says_so(ask: Ask, language: str, title: str) -> None:
    fill(ask)
    refused = ask(Accept="text/html", **{"Accept-Language": language})
    assert isinstance(refused, HttpResponse)
    assert title in refused.content.decode()
    assert "'unsafe" not in refused.headers["Content-Security-Policy"]


def test_a_refusal_asks_no_database_and_collecting_goes_on(client: Client) -> None:
    for _ in range(AT_ONCE):
        assert budget.PLACES.take()
    assert client.get(CONSOLE, headers=AS_DATA).status_code == 503  # the test may not use the database
    assert client.get("/").status_code == 200


def test_all_answers_of_the_site_give_their_places_back(viewer: Client) -> None:
    for _ in range(AT_ONCE + 1):
        for path, status in ((CONSOLE, 200), ("/admin/login/", 302), ("/admin/nowhere/", 404)):
            assert viewer.get(path).status_code == status


@pytest.mark.parametrize("wrong", [{"reads_at_once": 8}, {"downloads_at_once": 3}, {"requests_at_once": 7}])
def test_one_server_that_hangs_must_leave_places(settings: Settings, wrong: dict[str, int]) -> None:
    settings.CONSOLE = wrong
    conf.console_settings.cache_clear()
    with pytest.raises(ImproperlyConfigured, match="requests_at_once"):
        conf.console_settings()
