"""Pages and polls while the database is away: an answer that says so, and no stack trace."""

from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client

from tests.pipeline.conftest import PAGE

PAGES = (PAGE, "/admin/", "/admin/login/", "/admin/console/sinks/", "/admin/console/topics/")
POLLS = (f"{PAGE}panels/", "/admin/console/sinks/overview/", "/admin/console/dead-letters/hdfs/reasons/")


def refuse(*_query: Any) -> Any:
    raise OperationalError('connection to server at "10.1.2.3", port 5432 failed: Connection refused')


@pytest.mark.parametrize(("language", "words"), [("en", "{} can’t be read"), ("ko", "{}에서 읽을 수 없습니다")])
def test_a_page_says_which_server_is_away_and_no_stranger_learns_where_it_is(
    viewer: Client, language: str, words: str
) -> None:
    headers = {"Accept": "text/html,application/xhtml+xml", "Accept-Language": language}
    with connection.execute_wrapper(refuse):
        for page in PAGES:
            answer = viewer.get(page, headers=headers)
            assert answer.status_code == 503, page
            assert words.format(connection.display_name) in answer.content.decode()
            assert "10.1.2.3" not in answer.content.decode()
            assert "'unsafe" not in answer.headers["Content-Security-Policy"]
    assert viewer.get(PAGE, headers=headers).status_code == 200


@pytest.mark.usefixtures("kafka_is_away")
def test_a_poll_gets_the_error_as_data_and_may_ask_again(viewer: Client) -> None:
    with connection.execute_wrapper(refuse):
        for poll in POLLS:
            answer = viewer.get(poll, headers={"Accept": "application/json"})
            assert answer.status_code == 503, poll
            assert answer.json()["error"]["server"] == connection.display_name
            assert answer.headers["Retry-After"] == "5"
    assert viewer.get(POLLS[1], headers={"Accept": "application/json"}).status_code == 200


def test_the_page_of_colours_does_not_ask_the_database(client: Client, db: None) -> None:
    with connection.execute_wrapper(refuse):
        assert client.get("/").status_code == 200
