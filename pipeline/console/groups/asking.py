"""Questions about the consumer groups of a cluster, each answered by a process of its own; see child."""

import pickle
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from confluent_kafka import KafkaError, KafkaException
from django.utils.translation import gettext as _

from kafka_client.clusters import kafka_cluster
from pipeline.conf import console_settings
from pipeline.console.groups import child
from pipeline.console.groups.child import Changed, Failed, Group, Listing, Times
from pipeline.errors import ServerAway, ServerError
from pipeline.guard import guard
from pipeline.kafka_offsets import Partition
from pipeline.kafka_reads import server_error, server_name

T = TypeVar("T")

_MORE_SECONDS = 3.0
"""For the process to begin and to end."""

_MOST_PARTITIONS = 2000
"""Of one page of groups: beyond, they are listed without their lag."""

_FOLDER = Path(__file__).resolve().parents[3]


def list_groups(cluster: str, *, text: str, number: int) -> Listing:
    """A page of the groups whose name has a text. Raises ServerError."""
    size = console_settings().records
    given = {"text": text, "number": number, "size": size, "most_partitions": _MOST_PARTITIONS}
    return _ask(cluster, "list_page", given, Listing)


def read_group(cluster: str, name: str) -> Group:
    """One group. Raises ServerError."""
    [group] = _ask(cluster, "read_groups", {"names": [name]}, list[Group])
    return group


def offsets_at(cluster: str, partitions: Iterable[Partition], milliseconds: int) -> Times:
    """The first offsets of that time or later, by partition. Raises ServerError."""
    return _ask(cluster, "offsets_at", {"partitions": list(partitions), "milliseconds": milliseconds}, Times)


def change(
    cluster: str, name: str, *, expected: Mapping[Partition, int | None], wanted: Mapping[Partition, int]
) -> Changed:
    """Commits offsets for a group without members, unless it is not as expected any more. Raises ServerError."""
    given = {"name": name, "expected": dict(expected), "wanted": dict(wanted)}
    return _ask(cluster, "change", given, Changed)


def _ask(cluster: str, call: str, given: dict[str, Any], kind: type[T]) -> T:
    seconds = console_settings().kafka_timeout_seconds
    config = {**kafka_cluster(cluster), "allow.auto.create.topics": False}
    with guard().read(server_name(cluster)):
        try:
            done = subprocess.run(
                [sys.executable, "-m", child.__name__],
                input=pickle.dumps((call, config, seconds, given)),
                capture_output=True,
                timeout=seconds + _MORE_SECONDS,
                check=False,
                cwd=_FOLDER,
            )
        except subprocess.TimeoutExpired as error:
            raise ServerAway(server_name(cluster), _("no answer in time")) from error
        if done.returncode != 0:
            raise ServerError(server_name(cluster), _end_of(done))
        [(title, answer)] = msgspec.json.decode(done.stdout).items()
        if title == Failed.__name__:
            failed = msgspec.convert(answer, Failed)
            raise server_error(cluster, KafkaException(KafkaError(failed.code, failed.text)))
        return msgspec.convert(answer, kind)


def _end_of(done: "subprocess.CompletedProcess[bytes]") -> str:
    """Why a process ended without an answer: the last that it said, or the signal."""
    said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
    return said or signal.strsignal(-done.returncode) or str(done.returncode)
