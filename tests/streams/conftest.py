"""A Kafka for streams."""

from collections.abc import Iterator

import pytest

from devstack.stack import Stack
from tests.support import kafka_alone


@pytest.fixture(scope="package")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A Kafka without the other servers."""
    with kafka_alone(tmp_path_factory.mktemp("kafka")) as stack:
        yield stack
