"""Notes which topic an index was filled from: a topic that is made again begins anew with the same offsets."""

from collections.abc import Callable
from urllib.parse import quote

import elasticsearch
from elasticsearch import Elasticsearch

from sinks.elasticsearch.notes import NOTES_INDEX
from sinks.elasticsearch.outcomes import classified
from sinks.errors import Fatal, Retriable


class TopicNotes:
    """Tells a topic that was deleted and made again, or that is of another Kafka cluster, from the first one.

    index: the pattern of the indices that are filled; topic_id: gives Kafka's identity of a topic, raises Retriable.
    """

    def __init__(self, client: Elasticsearch, *, index: str, topic_id: Callable[[str], str]) -> None:
        self._client = client
        self._index = index
        self._topic_id = topic_id

    def note(self, topic: str) -> str:
        """The topic's id, compared with the noted one, or noted. Raises Fatal when they differ, and Retriable."""
        known = self._read(topic)
        if known is None:
            self._write(topic, self._topic_id(topic))
            known = self._read(topic)  # of two that note at a time, one was first
        if known is None:
            raise Retriable(f"Elasticsearch has lost what was noted of topic {topic} in {NOTES_INDEX}")
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

    def _read(self, topic: str) -> str | None:
        try:
            answer = self._client.get(index=NOTES_INDEX, id=self._document(topic))
        except elasticsearch.NotFoundError:
            return None
        except (elasticsearch.ApiError, elasticsearch.TransportError) as error:
            raise classified(error) from error
        return str(answer["_source"]["id"])

    def _write(self, topic: str, topic_id: str) -> None:
        note = {"index": self._index, "topic": topic, "id": topic_id}
        try:
            self._client.create(index=NOTES_INDEX, id=self._document(topic), document=note)
        except elasticsearch.ConflictError:
            pass  # another task was first
        except (elasticsearch.ApiError, elasticsearch.TransportError) as error:
            raise classified(error) from error
