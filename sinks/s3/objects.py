"""What a store of objects has to offer the commit protocol of sinks.s3. S3ObjectStore offers it by the API of S3."""

from typing import Protocol

import msgspec

from kafka_client.structs import ready
from sinks.files.store import Content, FileReads

PART_BYTES = 16 * 1024 * 1024
"""An upload is sent in parts of this size, of which one is held beside the records."""

MOST_BYTES = 10_000 * PART_BYTES
"""The largest object: S3 takes 10,000 parts of an upload."""


@ready
class Upload(msgspec.Struct, frozen=True):
    """An object whose bytes are all in the store, and which nobody sees until it is published.

    path: its place; id: the store's, of its own for each try; parts: what the store has called each part; size: bytes.
    """

    path: str
    id: str
    parts: tuple[str, ...]
    size: int


class ObjectStore(FileReads, Protocol):
    """The operations of the protocol. Every method may raise Retriable, and has perhaps done its work then, and Fatal.

    Paths are absolute, with slashes; a folder is what the paths of several objects begin with.
    """

    def has_bucket(self) -> bool:
        """Whether the bucket is there; some servers make one that is missing by themselves."""

    def put_new(self, path: str, data: bytes) -> bool:
        """Makes an object; False when one was there. Of several writers exactly one makes it."""

    def upload(self, path: str, data: Content) -> Upload:
        """Sends the bytes of an object without making it."""

    def publish(self, upload: Upload) -> bool:
        """Makes the object, in the place of one that may be there; then the upload is gone.

        False when the upload was gone already.
        """

    def abandon(self, upload: Upload) -> None:
        """Throws an upload away; nothing to do when it is gone."""

    def exists(self, path: str) -> bool:
        """Whether there is an object."""

    def copy(self, source: str, destination: str) -> None:
        """Makes an object with the content of another one. Raises NotFound."""

    def delete(self, path: str) -> None:
        """Deletes an object; nothing to do when it is not there."""

    def names(self, path: str, *, after: str = "") -> list[str]:
        """The names in a folder that sort after another one, sorted; none when there is no such folder."""

    def close(self) -> None:
        """Closes its connections."""
