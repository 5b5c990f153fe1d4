"""The page of what operators did."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from pytest_django import Settings

from pipeline import conf
from pipeline.console.audit import audited
from tests.console.support import text_of

Operator = Callable[..., Client]
ACTIONS = "/admin/console/actions/"


def do(user: User, what: str, outcome: str = "", error: Exception | None = None) -> None:
    """Logs an action as the console's pages do."""
    request = RequestFactory().post("/")
    request.user = user
    with audited(request, "sink <hdfs>", what) as action:
        if error is not None:
            raise error
        if outcome:
            action.done(outcome)


def shown(client: Client, query: str = "") -> str:
    page = client.get(ACTIONS + query)
    assert page.status_code == 200
    return text_of(page.content.decode())


def test_actions_are_told_with_their_users_and_outcomes_the_newest_first(
    operator: Operator, settings: Settings
) -> None:
    settings.CONSOLE = {"records": 2}
    conf.console_settings.cache_clear()
    client = operator()
    assert "Nothing was done here yet." in shown(client)
    kim = User.objects.create_user("kim")
    do(kim, "restart select-color-0 from offset 5", "asked for")
    do(kim, "pause")
    with pytest.raises(OSError, match="no disk"):
        do(kim, "resume", error=OSError("no disk"))
    newest = shown(client)
    assert newest.index("kim sink <hdfs> resume: failed: no disk") < newest.index("kim sink <hdfs> pause ")
    assert "restart" not in newest
    assert "&lt;hdfs&gt;" in client.get(ACTIONS).content.decode()
    page = client.get(ACTIONS)
    older = shown(client, f"?before={page.context['older']}")
    assert "restart select-color-0 from offset 5: asked for" in older
    assert "resume" not in older
    assert "Older" not in older


def test_a_place_that_is_no_number_is_refused_and_one_beyond_all_is_the_newest(operator: Operator) -> None:
    client = operator()
    assert client.get(f"{ACTIONS}?before=x").status_code == 400
    assert client.get(f"{ACTIONS}?before=999999999999999999").status_code == 200
    assert client.post(ACTIONS).status_code == 405
