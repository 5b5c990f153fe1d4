"""A bucket as a store of objects, by the API of S3.

An upload is a multipart upload that is not completed: nobody sees it, its bytes are in the store, and completing it
makes the object without sending or copying a byte. Completing one that is completed already makes nothing: most servers
refuse it (NoSuchUpload), Amazon answers as if it had just been done.
"""

from collections.abc import Iterator
from contextlib import nullcontext, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sinks.files.store import Content, ListedFile, NotFound
from sinks.reporting.metrics import SinkMetrics
from sinks.s3.client import ONE_BY_ONE, Refused, UploadGone, connect, translated
from sinks.s3.config import S3Store, S3Target
from sinks.s3.objects import PART_BYTES, ObjectStore, Upload
from worker.errors import public_methods

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


@public_methods(translated)
class S3ObjectStore(ObjectStore):
    """The objects of a bucket. connections: so many threads use it at a time; metrics: counts what is sent."""

    def __init__(
        self, store: S3Store, target: S3Target, *, connections: int, metrics: SinkMetrics | None = None
    ) -> None:
        self._store = store
        self._connections = connections
        self._bucket = target.bucket
        self._measured = nullcontext if metrics is None else metrics.upload
        encryption = {"ServerSideEncryption": target.encryption, "SSEKMSKeyId": target.kms_key}
        self._encryption: dict[str, Any] = {key: value for key, value in encryption.items() if value}
        self._of_files = dict(self._encryption)
        if target.storage_class:
            self._of_files["StorageClass"] = target.storage_class

    @cached_property
    def _client(self) -> "S3Client":
        return connect(self._store, connections=self._connections)

    def put_new(self, path: str, data: bytes) -> bool:
        put = translated(self._client.put_object)
        try:
            put(**self._at(path), Body=data, IfNoneMatch="*", **self._encryption)
        except Refused:
            return False
        return True

    def upload(self, path: str, data: Content) -> Upload:
        at = self._at(path)
        with self._measured(len(data)):
            upload_id = self._client.create_multipart_upload(**at, **self._of_files)["UploadId"]
            try:
                parts = [
                    self._client.upload_part(**at, UploadId=upload_id, PartNumber=number, Body=part)["ETag"]
                    for number, part in enumerate(_parts(data), 1)
                ]
            except BaseException:
                with suppress(Exception):  # what can't be removed now is left to the bucket's rule for old uploads
                    self._client.abort_multipart_upload(**at, UploadId=upload_id)
                raise
        return Upload(path, upload_id, tuple(parts), len(data))

    def publish(self, upload: Upload) -> bool:
        complete = translated(self._client.complete_multipart_upload)
        parts: Any = [{"PartNumber": number, "ETag": part} for number, part in enumerate(upload.parts, 1)]
        try:
            complete(**self._at(upload.path), UploadId=upload.id, MultipartUpload={"Parts": parts})
        except UploadGone:
            return False
        return True

    def abandon(self, upload: Upload) -> None:
        with suppress(UploadGone):
            translated(self._client.abort_multipart_upload)(**self._at(upload.path), UploadId=upload.id)

    def exists(self, path: str) -> bool:
        try:
            translated(self._client.head_object)(**self._at(path))
        except NotFound:
            return False
        return True

    def copy(self, source: str, destination: str) -> None:
        self._client.copy(
            {"Bucket": self._bucket, "Key": _key(source)},
            self._bucket,
            _key(destination),
            ExtraArgs=self._of_files,
            Config=ONE_BY_ONE,
        )

    def delete(self, path: str) -> None:
        self._client.delete_object(**self._at(path))

    def read(self, path: str) -> bytes:
        return self._client.get_object(**self._at(path))["Body"].read()

    def names(self, path: str, *, after: str = "") -> list[str]:
        prefix = f"{_key(path)}/"
        names = set()
        for page in self._pages(prefix, delimiter="/", after=prefix + after if after else ""):
            names |= {entry["Key"].removeprefix(prefix) for entry in page.get("Contents", ())}
            names |= {entry["Prefix"].removeprefix(prefix).rstrip("/") for entry in page.get("CommonPrefixes", ())}
        return sorted(name for name in names if name > after)

    def walk(self, path: str) -> list[ListedFile]:
        prefix = f"{_key(path)}/"
        return [
            ListedFile(f"/{entry['Key']}", entry["Size"], entry["LastModified"].timestamp())
            for page in self._pages(prefix)
            for entry in page.get("Contents", ())
            if not any(part[:1] in ("_", ".", "") for part in entry["Key"].removeprefix(prefix).split("/"))
        ]

    def has_bucket(self) -> bool:
        try:
            translated(self._client.head_bucket)(Bucket=self._bucket)
        except NotFound:
            return False
        return True

    def make_bucket(self) -> None:
        """Makes the bucket."""
        region = self._client.meta.region_name
        where: Any = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        self._client.create_bucket(Bucket=self._bucket, **where)

    def close(self) -> None:
        if "_client" in self.__dict__:
            self._client.close()

    def _at(self, path: str) -> Any:
        return {"Bucket": self._bucket, "Key": _key(path)}

    def _pages(self, prefix: str, *, delimiter: str = "", after: str = "") -> Iterator[Any]:
        options: Any = {"Prefix": prefix, "Delimiter": delimiter, "StartAfter": after}
        given = {key: value for key, value in options.items() if value}
        yield from self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, **given)


def _key(path: str) -> str:
    return path.removeprefix("/")


def _parts(data: Content) -> Iterator[bytes]:
    """The content in parts of one size, but for the last one; some stores want that."""
    held: list[memoryview] = []
    size = 0
    is_first = True
    for piece in [data] if isinstance(data, bytes) else data:
        rest = memoryview(piece)
        while rest:
            if size == PART_BYTES:
                yield b"".join(held)
                held, size, is_first = [], 0, False
            held.append(rest[: PART_BYTES - size])
            size += len(held[-1])
            rest = rest[len(held[-1]) :]
    if held or is_first:
        yield b"".join(held)
