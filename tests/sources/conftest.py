"""Databases to be read."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.sources.tables import TestDatabase


@pytest.fixture(params=["postgres", "mariadb"])
def database(request: pytest.FixtureRequest, django_db_blocker: Any) -> Iterator[TestDatabase]:
    """PostgreSQL, then MariaDB, without a table `goods`."""
    with django_db_blocker.unblock():
        found = TestDatabase(request.getfixturevalue(request.param))
        found.run("DROP TABLE IF EXISTS goods")
        yield found
