"""Where a folder sink stores."""

from kafka_client.structs import ready
from sinks.files.config import GrowingFilesTarget


@ready
class FolderTarget(GrowingFilesTarget, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `target` of a folder sink: a folder on a local disk or a mounted share."""

    def __str__(self) -> str:
        return f"folder {self.path}"
