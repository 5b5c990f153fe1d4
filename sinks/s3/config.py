"""Where an S3 sink stores, and the stores that settings.S3 names."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from kafka_client.clusters import cluster_entry, settings_errors_in
from kafka_client.structs import ready
from sinks.files.config import FilesTarget
from worker.urls import check_urls


@ready
class S3Store(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An entry of settings.S3.

    Without `access_key_id`, boto3's own chain finds the credentials: the variables AWS_ACCESS_KEY_ID and
    AWS_SECRET_ACCESS_KEY of the process, a profile, or the role of the machine.
    """

    endpoint_url: str | None = None
    """The address of the server, for example http://localhost:8333. Default: that of AWS, by the region."""
    region: str | None = None
    """The region. Default: what boto3 finds (AWS_DEFAULT_REGION, a profile)."""
    path_style: bool = False
    """Whether the bucket's name stands in the path, as most servers beside AWS want it, and not in the host's name."""
    access_key_id: str | None = None
    """The name of the key that the sink uses."""
    secret_access_key: str | None = None
    """The secret of `access_key_id`. It is never shown."""
    profile: str | None = None
    """The profile of boto3's configuration files with the credentials."""
    ca_certs: str | None = None
    """The path of the CA certificates for https."""
    timeout_seconds: Annotated[float, Meta(gt=0)] = 30.0
    """Seconds that the sink waits for a connection, and for each answer, before it tries again. Raise it for a slow
    network."""
    create_bucket: bool = False
    """Whether setup_pipeline makes a bucket that is missing."""

    def __post_init__(self) -> None:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("access_key_id and secret_access_key are given together or not at all")


@ready
class S3Target(FilesTarget, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `target` of an S3 sink."""

    bucket: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
    """The bucket. `path`, without its first slash, is what the keys of all objects begin with."""
    store: str = "default"
    """The store of settings.S3."""
    encryption: Literal["", "AES256", "aws:kms", "aws:kms:dsse"] = ""
    """How the server encrypts the objects; by default as the bucket says."""
    kms_key: str = ""
    """The key of `encryption` aws:kms; by default that of the account."""
    storage_class: Annotated[str, Meta(pattern=r"^[A-Z_]*$")] = ""
    """The storage class of the files, for example STANDARD_IA; by default as the bucket says. It must be one from which
    files can be read at once."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.file_name.endswith("{ext}"):
            raise ValueError(
                f"file_name {self.file_name!r} must end with {{ext}}: after a rewind, a number stands there"
            )
        if self.kms_key and not self.encryption.startswith("aws:kms"):
            raise ValueError("kms_key is given, so encryption must be aws:kms or aws:kms:dsse")

    def __str__(self) -> str:
        return f"S3 ({self.store}) {self.bucket}{self.path}"


def s3_store(alias: str) -> S3Store:
    """An entry of settings.S3. Raises ImproperlyConfigured naming what is wrong."""
    entry = cluster_entry("S3", alias)
    with settings_errors_in(f"S3[{alias!r}]"):
        store = msgspec.convert(entry, S3Store)
        if store.endpoint_url is not None:
            check_urls("endpoint_url", [store.endpoint_url])
            if "@" in store.endpoint_url:
                raise ValueError("endpoint_url must be without user and password: credentials are not given there")
    return store
