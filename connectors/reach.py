"""What connectors may reach: files of the workers' hosts, databases, hosts by HTTP, and options of Kafka's clients.

A worker reads and connects with the rights of its own process. Without these bounds, whoever may make connectors would
have these rights, too.
"""

import posixpath
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import dj_database_url
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS

from connectors.conf import connectors_settings

_DATABASE_OPTIONS = {"sslmode", "sslrootcert"}
_HERE = {"", "localhost", "127.0.0.1", "::1"}
_PORTS = {"http": 80, "https": 443, "django.db.backends.postgresql": 5432, "django.db.backends.mysql": 3306}

# librdkafka can also run programs, load libraries, read files and send the cluster's password to other servers.
_CLIENT_OPTIONS = re.compile(
    r"""
      client\.rack | group\.instance\.id | sasl\.(username|password)
    | (session|max\.poll|heartbeat)\.(timeout|interval)\.ms
    | (fetch|queued|socket|reconnect|retry|connections|topic\.metadata|broker\.address)\.[a-z.]+
    | metadata\.max\.age\.ms | max\.partition\.fetch\.bytes | (receive\.)?message\.max\.bytes | check\.crcs
    | (queue\.buffering|batch|compression|request|delivery|message\.timeout|linger|sticky\.partitioning)\.[a-z.]+
    | partitioner | transaction\.timeout\.ms
    """,
    re.VERBOSE,
)


def check_paths(paths: Iterable[str]) -> None:
    """Raises ValueError for a file or folder that is not below CONNECTORS["folders"]."""
    allowed = connectors_settings().folders
    for path in map(posixpath.normpath, paths):
        if not any(path == folder or path.startswith(f"{folder.rstrip('/')}/") for folder in allowed):
            where = f"below {', '.join(allowed)} alone" if allowed else "nowhere"
            raise ValueError(f"{path}: connectors may use files and folders of workers {where} (CONNECTORS folders)")


def check_urls(urls: Iterable[str]) -> None:
    """Raises ValueError for a URL whose host is not in CONNECTORS["http_hosts"]; the text holds no password."""
    allowed = connectors_settings().http_hosts
    for url in urls:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme)
        if not {host, f"{host}:{port}"} & set(allowed):
            where = f"{', '.join(allowed)} alone" if allowed else "no host"
            raise ValueError(f"{host}:{port}: connectors may ask {where} by HTTP (CONNECTORS http_hosts)")


def check_databases(databases: Iterable[str]) -> None:
    """Raises ValueError for the database of this site, and for URLs that connectors may not use.

    databases: entries of settings.DATABASES, or URLs. The text of the error holds no password.
    """
    for database in databases:
        if "://" in database:
            entry: Mapping[str, Any] = dj_database_url.parse(database)
            _check_address(entry)
        else:
            entry = settings.DATABASES[database]
        if not connectors_settings().own_database and _place(entry) == _place(settings.DATABASES[DEFAULT_DB_ALIAS]):
            raise ValueError(
                f"this is the database `{DEFAULT_DB_ALIAS}`, which has the users of this site; connectors may not use "
                "it (CONNECTORS own_database)"
            )


def check_client_option(option: str) -> None:
    """Raises ValueError for an option of librdkafka that connectors may not set."""
    if not _CLIENT_OPTIONS.fullmatch(option):
        raise ValueError(
            f"{option} can't be set here: connectors may tune Kafka's clients, but not choose servers, files and "
            "programs, nor change what makes records exact"
        )


def _check_address(entry: Mapping[str, Any]) -> None:
    """Raises ValueError where a URL is not simply of a server. By a socket, the server would trust the worker's user.

    Options could name files of the worker's host, or let the server read them (`local_infile`).
    """
    host = str(entry.get("HOST") or "")
    if not host or "/" in host or "," in host:
        raise ValueError("the URL of a database must name one host")
    if unknown := sorted(entry.get("OPTIONS", {}).keys() - _DATABASE_OPTIONS):
        raise ValueError(f"the URL of a database has {unknown[0]}; it may have {', '.join(sorted(_DATABASE_OPTIONS))}")


def _place(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    """What tells two databases apart."""
    engine, host = str(entry["ENGINE"]), str(entry.get("HOST") or "").lower()
    port = str(entry.get("PORT") or _PORTS.get(engine))
    is_here = host in _HERE or host.startswith("/")
    return engine, "localhost" if is_here else host, port, str(entry["NAME"])
