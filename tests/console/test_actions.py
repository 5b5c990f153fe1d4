"""The log of what operators did and read, and its page."""

from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.test import Client, RequestFactory
from django.utils import timezone
from pytest_django import Settings

from pipeline import conf
from pipeline.console.audit import READS_TOGETHER, audited, log_read
from pipeline.console.models import ActionKind, AuditEntry, Console
from tests.console.support import text_of

Operator = Callable[..., Client]
ACTIONS = "/admin/console/actions/"


def request_of(user: User) -> Any:
    request = RequestFactory().post("/")
    request.user = user
    return request


def do(
    user: User,
    what: str,
    outcome: str = "",
    error: Exception | None = None,
    kind: ActionKind = ActionKind.CONTROL,
    subject: str = "sink <hdfs>",
) -> None:
    """Logs an action as the console's pages do."""
    with audited(request_of(user), kind, subject, what) as action:
        if error is not None:
            raise error
        if outcome:
            action.done(outcome)


def shown(client: Client, query: str = "") -> str:
    page = client.get(ACTIONS + query)
    assert page.status_code == 200
    return text_of(page.content.decode())


def logged() -> list[tuple[str, str, str]]:
    return list(AuditEntry.objects.order_by("pk").values_list("kind", "subject", "what"))


@pytest.fixture
def kim(db: None) -> User:
    return User.objects.create_user("kim")


def test_actions_are_told_with_their_users_and_outcomes_the_newest_first(
    operator: Operator, settings: Settings, kim: User
) -> None:
    settings.CONSOLE = {"records": 2}
    conf.console_settings.cache_clear()
    client = operator("audit")
    assert "Nothing was done here yet." in shown(client)
    do(kim, "restart select-color-0 from offset 5", "asked for")
    do(kim, "pause")
    with pytest.raises(OSError, match="no disk"):
        do(kim, "resume", error=OSError("no disk"))
    newest = shown(client)
    steered = "kim Steered a sink sink <hdfs>"
    assert newest.index(f"{steered} resume: failed: no disk") < newest.index(f"{steered} pause ")
    assert "restart" not in newest
    assert "&lt;hdfs&gt;" in client.get(ACTIONS).content.decode()
    older = shown(client, f"?{client.get(ACTIONS).context['older']}")
    assert "restart select-color-0 from offset 5: asked for" in older
    assert "resume" not in older
    assert "Older" not in older


def test_a_place_that_is_no_number_is_refused_and_one_beyond_all_is_the_newest(operator: Operator) -> None:
    client = operator("audit")
    assert client.get(f"{ACTIONS}?before=x").status_code == 400
    assert client.get(f"{ACTIONS}?before=999999999999999999").status_code == 200
    assert client.post(ACTIONS).status_code == 405


def test_the_log_has_a_permission_of_its_own(operator: Operator) -> None:
    others = operator("control", "produce", "replay")
    assert others.get(ACTIONS).status_code == 403
    assert ACTIONS not in others.get("/admin/console/topics/").content.decode()
    assert ACTIONS in operator("audit").get("/admin/console/topics/").content.decode()


def test_an_entry_outlives_its_user(operator: Operator, kim: User) -> None:
    do(kim, "pause", "asked for")
    kim.delete()
    assert "kim Steered a sink sink <hdfs> pause: asked for" in shown(operator("audit"))


@pytest.fixture
def three(operator: Operator, kim: User) -> Client:
    """Of three entries each has another user, kind, text and day."""
    lee = User.objects.create_user("lee")
    do(kim, "pause", "asked for")
    do(lee, "12 bytes", "partition 0, offset 7", kind=ActionKind.PRODUCE, subject="topic clicks (default)")
    do(lee, "x.log", "begun", kind=ActionKind.DOWNLOAD, subject="files of hdfs")
    for day, entry in enumerate(AuditEntry.objects.order_by("pk"), start=1):
        entry.at = timezone.now() - timedelta(days=10 - day)
        entry.save()
    return operator("audit")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["x.log", "12 bytes", "pause"]),
        ("user=KIM", ["pause"]),
        ("kind=produce", ["12 bytes"]),
        ("text=CLICKS", ["12 bytes"]),
        ("text=offset 7", ["12 bytes"]),
        ("text=.log&user=lee", ["x.log"]),
        ("from={day_2}", ["x.log", "12 bytes"]),
        ("to={day_2}", ["pause"]),
        ("from={day_2}&to={day_3}", ["12 bytes"]),
        ("user=nobody", []),
        ("text=%00", ["x.log", "12 bytes", "pause"]),
    ],
)
def test_the_log_is_filtered_by_who_what_and_when(three: Client, query: str, found: list[str]) -> None:
    days = {f"day_{n}": f"{timezone.now() - timedelta(days=10 - n, hours=1):%Y-%m-%dT%H:%M}" for n in (2, 3)}
    page = three.get(f"{ACTIONS}?{query.format(**days)}")
    assert [entry.what for entry in page.context["entries"]] == found
    if not found:
        assert "No entry fits." in page.content.decode()


@pytest.mark.parametrize("query", ["kind=else", "from=x", "to=9999-12-31T23:59"])
def test_a_filter_that_can_not_be_read_is_refused(three: Client, query: str) -> None:
    assert three.get(f"{ACTIONS}?{query}").status_code == 400


def test_older_entries_of_a_filter_are_of_the_same_filter(three: Client, settings: Settings) -> None:
    settings.CONSOLE = {"records": 1}
    conf.console_settings.cache_clear()
    first = three.get(f"{ACTIONS}?user=lee").context
    second = three.get(f"{ACTIONS}?{first['older']}").context
    assert [entry.what for entry in second["entries"]] == ["12 bytes"]
    assert second["older"] is None


def test_entries_are_kept_as_long_as_the_settings_say(operator: Operator, kim: User, settings: Settings) -> None:
    settings.CONSOLE = {"audit_days": 30}
    conf.console_settings.cache_clear()
    do(kim, "pause")
    AuditEntry.objects.update(at=timezone.now() - timedelta(days=31))
    assert "pause" not in shown(operator("audit")), "also while nobody writes"
    assert AuditEntry.objects.count() == 1
    do(kim, "resume")
    assert logged() == [("control", "sink <hdfs>", "resume")]


def test_the_same_read_within_some_minutes_is_one_entry(kim: User) -> None:
    lee = User.objects.create_user("lee")
    for user, subject in ((kim, "topic a"), (kim, "topic a"), (kim, "topic b"), (lee, "topic a")):
        log_read(request_of(user), subject, "records")
    assert AuditEntry.objects.count() == 3
    AuditEntry.objects.update(at=timezone.now() - READS_TOGETHER - timedelta(seconds=1))
    log_read(request_of(kim), "topic a", "records")
    assert AuditEntry.objects.count() == 4


@pytest.mark.usefixtures("kafka_is_away")
@pytest.mark.parametrize(
    ("path", "entry"),
    [
        ("topics/default/clicks/messages/?q=kim", ("read", "topic clicks (default)", "records q=kim")),
        ("topics/default/clicks/tail/?cursor=0:1", ("read", "topic clicks (default)", "records as they come")),
        ("topics/default/clicks/1/7/record/", ("read", "topic clicks (default)", "partition 1, offset 7")),
        ("topics/default/clicks/1/7/value/", ("download", "topic clicks (default)", "value of partition 1, offset 7")),
        ("practice/read/?begun=0:1&reached=0:5", ("read", "topic practice (default)", "from 0:1")),
        ("documents/elasticsearch/hits/?q=kim", ("read", "documents of elasticsearch", "documents q=kim")),
        ("documents/elasticsearch/fields/", ("read", "documents of elasticsearch", "top values of documents range=1h")),
        (
            "documents/elasticsearch/source/?index=i&id=a%00",
            ("read", "documents of elasticsearch", "document a\ufffd of index i"),
        ),
        (
            "documents/elasticsearch/export/?format=csv&range=24h",
            ("export", "documents of elasticsearch", "csv, documents range=24h"),
        ),
        ("files/hdfs/preview/?path=a/b", ("read", "files of hdfs", "a/b")),
        ("files/hdfs/download/?path=a/b", ("download", "files of hdfs", "a/b")),
        ("dead-letters/hdfs/list/", ("read", "dead letters of hdfs", "topic *, page 0")),
        ("dead-letters/hdfs/clicks/1/7/bytes/", ("read", "dead letters of hdfs", "clicks-1-7")),
    ],
)
def test_who_reads_takes_along_or_exports_what_is_stored_is_logged_before_it_is_read(
    operator: Operator, path: str, entry: tuple[str, str, str]
) -> None:
    operator().get(f"/admin/console/{path}")
    assert logged() == [entry]


@pytest.mark.usefixtures("kafka_is_away")
def test_counts_and_states_are_not_logged(operator: Operator) -> None:
    client = operator()
    for path in ("topics/default/", "sinks/overview/", "documents/elasticsearch/histogram/", "files/hdfs/list/"):
        client.get(f"/admin/console/{path}")
    assert logged() == []


@pytest.mark.usefixtures("kafka_is_away")
def test_an_export_that_was_not_begun_says_so(operator: Operator) -> None:
    assert operator().get("/admin/console/documents/elasticsearch/export/").status_code == 503
    assert AuditEntry.objects.get().outcome == "refused: status 503"


def test_what_the_console_logged_before_is_taken_over(kim: User) -> None:
    console = ContentType.objects.get_for_model(Console)
    other = ContentType.objects.get_for_model(User)
    for content_type, subject, what in (
        (console, "sink hdfs", "pause all partitions: asked for"),
        (console, "dead letters of hdfs", "discard 2 selected: 2 done"),
        (console, "topic practice (default)", "practice: read: done"),
        (console, "topic clicks (default)", "produce 3 bytes: partition 0, offset 0"),
        (other, "kim", "Changed password."),
    ):
        LogEntry.objects.create(
            user=kim,
            content_type=content_type,
            object_id=subject,
            object_repr=subject,
            action_flag=CHANGE,
            change_message=what,
        )
    first = LogEntry.objects.order_by("pk")[0]
    import_module("pipeline.console.migrations.0003_keep_logged_actions").take_over(apps, SimpleNamespace())
    assert logged() == [
        ("control", "sink hdfs", "pause all partitions: asked for"),
        ("replay", "dead letters of hdfs", "discard 2 selected: 2 done"),
        ("practice", "topic practice (default)", "practice: read: done"),
        ("produce", "topic clicks (default)", "produce 3 bytes: partition 0, offset 0"),
    ]
    taken = AuditEntry.objects.order_by("pk")[0]
    assert (taken.user, taken.at) == ("kim", first.action_time)
