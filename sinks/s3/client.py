"""The one module that imports boto3: a client of a store, with a time-out for every call, and what its errors mean."""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError, ProfileNotFound

from sinks.files.store import NotFound
from sinks.s3.config import S3Store
from worker.errors import Fatal, Retriable
from worker.urls import without_password

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

P = ParamSpec("P")
R = TypeVar("R")

_MISSING = {"NoSuchKey", "404"}

_FATAL = {
    *("AccessDenied", "AllAccessDisabled", "AccountProblem", "InvalidAccessKeyId", "SignatureDoesNotMatch", "403"),
    *("AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException", "301"),
    *("InvalidBucketName", "InvalidStorageClass", "InvalidArgument", "KeyTooLongError", "EntityTooLarge"),
    *("NotImplemented", "MethodNotAllowed", "501"),
    *("KMS.DisabledException", "KMS.NotFoundException", "KMS.InvalidStateException"),
}
"""Codes of errors after which trying again can't help. After all others it may."""


ONE_BY_ONE = TransferConfig(use_threads=False)
"""Large objects are copied in the thread that asks for it."""


class Refused(Exception):
    """The condition of a request does not hold (412)."""


class UploadGone(Retriable):
    """The server knows no such upload: it was completed, thrown away or forgotten. Another upload may be begun."""


def connect(store: S3Store, *, connections: int) -> "S3Client":
    """A client of a store for so many threads at a time. Raises Fatal when boto3 finds its settings to be wrong."""
    config = Config(
        connect_timeout=store.timeout_seconds,
        read_timeout=store.timeout_seconds,
        retries={"total_max_attempts": 1},  # a step of the sink is repeated by the sink
        max_pool_connections=connections,
        s3={"addressing_style": "path" if store.path_style else "auto"},
        tcp_keepalive=True,
    )
    try:
        session = boto3.Session(profile_name=store.profile, region_name=store.region)
        client: S3Client = session.client(
            "s3",
            endpoint_url=store.endpoint_url,
            region_name=session.region_name or "us-east-1",
            aws_access_key_id=store.access_key_id,
            aws_secret_access_key=store.secret_access_key,
            verify=store.ca_certs,
            config=config,
        )
    except (BotoCoreError, ValueError) as error:
        raise Fatal(f"S3: {_words(error)}") from error
    return client


def translated(method: Callable[P, R]) -> Callable[P, R]:
    """Lets a method raise the exceptions of sinks.files.store and worker.errors, and Refused, instead of boto3's."""

    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except ClientError as error:
            raise _meaning(error) from error
        except (NoCredentialsError, PartialCredentialsError, ProfileNotFound) as error:
            raise Fatal(f"S3: {_words(error)}") from error
        except (BotoCoreError, OSError) as error:
            raise Retriable(f"S3: {_words(error)}", reason="unreachable") from error

    return call


def _meaning(error: ClientError) -> Exception:
    told: Any = error.response
    code = str(told.get("Error", {}).get("Code", "other"))
    status = int(told.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    text = f"S3: {_words(error)}"
    if status == 412:
        return Refused(text)
    if code in _MISSING:
        return NotFound(text)
    if code == "NoSuchUpload":
        return UploadGone(text, reason=code)
    if code == "NoSuchBucket":
        return Retriable(f"{text}: make the bucket, or look at target.bucket", reason=code)
    if code in _FATAL:
        return Fatal(text)
    return Retriable(text, reason=code if code in ("SlowDown", "InternalError") else str(status or "other"))


def _words(error: Exception) -> str:
    return without_password(f"{type(error).__name__}: {error}" if not isinstance(error, ClientError) else str(error))
