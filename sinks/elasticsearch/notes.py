"""The hidden index in which sinks and their commands note what they must not forget."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any
from urllib.parse import quote

import elasticsearch
from elasticsearch import Elasticsearch

from sinks.elasticsearch.outcomes import translated
from worker.errors import Fatal, Retriable

NOTES_INDEX = "sink-topics"
"""A document for each topic and index pattern (TopicNotes), and one for each pattern with retention."""

NOTES_FIELDS = {**{name: {"type": "keyword"} for name in ("index", "topic", "id")}, "before": {"type": "date"}}


@translated()
def _read(client: Elasticsearch, id: str) -> dict[str, Any] | None:
    try:
        return dict(client.get(index=NOTES_INDEX, id=id)["_source"])
    except elasticsearch.NotFoundError:
        return None


class TopicNotes:
    """Notes which topic an index was filled from: a topic that is made again begins anew with the same offsets.

    index: the pattern of the indices that are filled; topic_id: gives Kafka's identity of a topic, raises Retriable.
    """

    def __init__(self, client: Elasticsearch, *, index: str, topic_id: Callable[[str], str]) -> None:
        self._client = client
        self._index = index
        self._topic_id = topic_id

    def note(self, topic: str) -> str:
        """The topic's id, compared with the noted one, or noted. Raises Fatal when they differ, and Retriable."""
        id = self._document(topic)
        note = _read(self._client, id)
        if note is None:
            self._write(id, topic)
            note = _read(self._client, id)  # when two note at the same time, the first one's note stays
        if note is None:
            raise Retriable(f"Elasticsearch has lost what was noted of topic {topic} in {NOTES_INDEX}")
        known = str(note["id"])
        self.check(topic, known)
        return known

    def check(self, topic: str, known: str) -> None:
        """Raises Fatal when the topic is not the one with this id now, and Retriable."""
        topic_id = self._topic_id(topic)
        if topic_id != known:
            raise Fatal(
                f"the topic {topic} is not the one that {self._index} was filled from (its id was {known}, now it is "
                f"{topic_id}): it was deleted and made again, or is of another Kafka cluster, so its documents would "
                f"overwrite those of the first; give this sink another index, or delete the old one and the document "
                f"{self._document(topic)} of {NOTES_INDEX}"
            )

    def _document(self, topic: str) -> str:
        return quote(f"{self._index}:{topic}", safe=":")

    @translated()
    def _write(self, id: str, topic: str) -> None:
        note = {"index": self._index, "topic": topic, "id": self._topic_id(topic)}
        with suppress(elasticsearch.ConflictError):  # another task was first
            self._client.create(index=NOTES_INDEX, id=id, document=note)


def deleted_before(client: Elasticsearch, pattern: str) -> datetime | None:
    """Retention has deleted every index of a pattern that ended by then; None when none. Raises Retriable and Fatal."""
    note = _read(client, _retention(pattern))
    return datetime.fromisoformat(note["before"]) if note is not None else None


@translated()
def note_retention(client: Elasticsearch, pattern: str, before: datetime) -> None:
    """Notes that the indices that ended by then are deleted; to be called before they are. Raises as above."""
    known = deleted_before(client, pattern)
    if known is None or known < before:
        document = {"index": pattern, "before": before.isoformat()}
        client.index(index=NOTES_INDEX, id=_retention(pattern), document=document)


def _retention(pattern: str) -> str:
    return f"retention:{quote(pattern)}"  # no topic's note has such an id, `<pattern>:<topic>`: a % is in this pattern
