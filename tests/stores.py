"""What sinks of files have stored, read by other means than the project's own."""

import os
from pathlib import Path
from typing import Protocol

import boto3
import hdfs
import requests
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from devstack.seaweedfs import ACCESS_KEY, SECRET_KEY


class Files(Protocol):
    """A store of files. away: what it raises while it is not there."""

    away: tuple[type[Exception], ...]

    def listed(self, folder: str) -> list[tuple[str, bool]]:
        """The names in a folder, and whether each is a folder; none when there is no such folder."""

    def read(self, path: str) -> bytes:
        """The content of a file."""


class HdfsFiles:
    """Those of a NameNode."""

    away = (requests.RequestException, hdfs.HdfsError)

    def __init__(self, url: str) -> None:
        self._client = hdfs.InsecureClient(url, user="hdfs", timeout=30, session=requests.Session())

    def listed(self, folder: str) -> list[tuple[str, bool]]:
        """By LISTSTATUS."""
        try:
            found = self._client.list(folder, status=True)
        except hdfs.HdfsError as error:
            if error.exception != "FileNotFoundException":
                raise
            return []
        return [(name, status["type"] == "DIRECTORY") for name, status in found]

    def read(self, path: str) -> bytes:
        """By OPEN."""
        with self._client.read(path) as reader:
            content: bytes = reader.read()
        return content


class FolderFiles:
    """Those of this machine."""

    away = (OSError,)

    def listed(self, folder: str) -> list[tuple[str, bool]]:
        """Sorted, as HDFS does."""
        try:
            return sorted((entry.name, entry.is_dir()) for entry in os.scandir(folder))
        except FileNotFoundError:
            return []

    def read(self, path: str) -> bytes:
        """As any program does."""
        return Path(path).read_bytes()


class S3Files:
    """Those of a bucket, as if their keys were paths."""

    away = (BotoCoreError, ClientError)

    def __init__(self, url: str, bucket: str) -> None:
        self._bucket = bucket
        self._client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )

    def listed(self, folder: str) -> list[tuple[str, bool]]:
        """By ListObjectsV2."""
        prefix = f"{folder[1:]}/"
        found = []
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=prefix, Delimiter="/"
        )
        for page in pages:
            found += [(each["Key"].removeprefix(prefix), False) for each in page.get("Contents", ())]
            found += [(each["Prefix"].removeprefix(prefix)[:-1], True) for each in page.get("CommonPrefixes", ())]
        return sorted(entry for entry in found if entry[0])

    def read(self, path: str) -> bytes:
        """By GetObject."""
        content: bytes = self._client.get_object(Bucket=self._bucket, Key=path[1:])["Body"].read()
        return content

    def make_bucket(self) -> None:
        """Makes the bucket."""
        self._client.create_bucket(Bucket=self._bucket)

    def uploads(self, path: str) -> list[str]:
        """The keys below a path of which an upload is begun and not completed."""
        answer = self._client.list_multipart_uploads(Bucket=self._bucket, Prefix=f"{path[1:]}/")
        return [upload["Key"] for upload in answer.get("Uploads", ())]


def visible(files: Files, path: str) -> dict[str, bytes]:
    """The files of a sink by path below its folder (`_sink` is not for readers), with their content."""
    return {below: files.read(f"{path}/{below}") for below in _below(files, path) if not below.startswith("_")}


def all_below(files: Files, path: str) -> list[str]:
    """The paths of all files below a folder."""
    return [f"{path}/{below}" for below in _below(files, path)]


def _below(files: Files, path: str) -> list[str]:
    found = []
    for name, is_folder in files.listed(path):
        found += [f"{name}/{below}" for below in _below(files, f"{path}/{name}")] if is_folder else [name]
    return found
