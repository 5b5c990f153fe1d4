"""Notes up to when retention has deleted the indices of a pattern: what was deleted on purpose is not missing."""

from datetime import datetime
from urllib.parse import quote

import elasticsearch
from elasticsearch import Elasticsearch

from sinks.elasticsearch.notes import NOTES_INDEX


class RetentionNote:
    """The note on the indices of one pattern, such as `select-color-%Y.%m.%d`."""

    def __init__(self, client: Elasticsearch, pattern: str) -> None:
        self._client = client
        self._pattern = pattern
        # No topic's note, `<pattern>:<topic>`, has such an id: this pattern has a %, and no topic has.
        self._id = f"retention:{quote(pattern)}"

    def deleted_before(self) -> datetime | None:
        """Every index that ended by then was deleted on purpose; None when none was.

        Raises elasticsearch.ApiError and TransportError.
        """
        try:
            note = self._client.get(index=NOTES_INDEX, id=self._id)["_source"]
        except elasticsearch.NotFoundError:
            return None
        return datetime.fromisoformat(note["before"])

    def note(self, before: datetime) -> None:
        """Notes that the indices that ended by then are deleted; to be called before they are.

        Raises elasticsearch.ApiError and TransportError.
        """
        known = self.deleted_before()
        if known is None or known < before:
            document = {"index": self._pattern, "before": before.isoformat()}
            self._client.index(index=NOTES_INDEX, id=self._id, document=document)
