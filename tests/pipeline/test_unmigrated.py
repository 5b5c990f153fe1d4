"""A database that was not migrated to this version: pages say what is missing and the command that makes it."""

from collections.abc import Iterator

import pytest
from django.db import ProgrammingError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client

from pipeline.away import database_error
from sinks.models import SinkProcess
from tests.pipeline.conftest import PAGE, staff

COMMAND = "python manage.py migrate"
SINKS = "/admin/console/sinks/"


@pytest.fixture
def unmigrated(transactional_db: None) -> Iterator[None]:
    """The newest migration of the sinks, and the table of their processes, are missing."""
    table = SinkProcess._meta.db_table
    applied = MigrationRecorder.Migration.objects.filter(app="sinks").latest("pk")
    name = applied.name
    applied.delete()
    execute(f"ALTER TABLE {table} RENAME TO hidden")
    yield
    execute(f"ALTER TABLE hidden RENAME TO {table}")
    MigrationRecorder(connection).record_applied("sinks", name)


def execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.fixture
def reader(unmigrated: None) -> Client:
    client = Client()
    client.force_login(staff("reader", may_see=True))
    return client


def test_a_panel_names_the_command(reader: Client) -> None:
    error = reader.get(f"{SINKS}overview/").json()["error"]
    assert COMMAND in error["text"]
    assert error["server"] == "", "or its title would be that the database can’t be read"


def test_the_statistics_page_names_the_command_in_the_place_of_the_sinks(reader: Client) -> None:
    error = reader.get(f"{PAGE}panels/?panel=sinks").json()["sinks"]["error"]
    assert COMMAND in error["text"]
    assert error["server"] == ""


def test_a_page_that_can_not_be_made_names_the_command(reader: Client) -> None:
    execute("ALTER TABLE django_session RENAME TO hidden_session")
    try:
        page = reader.get(SINKS, headers={"Accept": "text/html"})
    finally:
        execute("ALTER TABLE hidden_session RENAME TO django_session")
    assert page.status_code == 503
    assert COMMAND in page.content.decode()
    assert "can’t be read" not in page.content.decode()


@pytest.mark.django_db
def test_another_wrong_statement_is_not_taken_for_a_missing_migration() -> None:
    error = database_error(ProgrammingError("syntax error"))
    assert COMMAND not in error.text
    assert error.server
