"""Reads variables of the environment and of `.env`. What can't be read is explained without showing the value."""

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import dj_database_url
from dotenv.parser import Binding, parse_stream
from environs import Env, EnvError

_DATABASE_OPTIONS: dict[str, dict[str, Any]] = {
    # The web server and the sinks write to it: they wait for each other for a moment instead of failing.
    "django.db.backends.sqlite3": {
        "transaction_mode": "IMMEDIATE",
        "timeout": 10,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
    },
    # A host that swallows packets, a lock or a slow query must not hold the website's threads for minutes.
    "django.db.backends.postgresql": {
        "connect_timeout": 5,
        "options": "-c statement_timeout=30s",
        "tcp_user_timeout": 10_000,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
    },
    "django.db.backends.mysql": {
        "connect_timeout": 5,
        "read_timeout": 35,
        "write_timeout": 35,
        # A statement ends after 30 seconds, and a value that does not fit is refused, not cut. MySQL skips what stands
        # between /*M! and */.
        "init_command": "SET SESSION sql_mode = 'TRADITIONAL' /*M!100101 , max_statement_time = 30 */",
    },
}
"""What a database URL may give otherwise, for example `?connect_timeout=2`, or leave out: `?options=`."""


class Variables(Env):
    """Variables of the environment, and of a file for what the environment does not have.

    The file has `NAME=value` lines. Values are taken as they are: nothing in them is replaced.
    """

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._in_file: dict[str, str] = {}
        self._cut: dict[str, str] = {}  # variables whose value ends at a comment, with their place
        for binding in _bindings(file):
            if binding.key is None and not binding.error:
                continue  # a comment, or nothing
            place = f"{file}, line {_line(binding)}"
            if binding.key is None or binding.value is None:
                raise EnvError(f"{place} is no NAME=value; is there a quote too many in the value?")
            self._in_file[binding.key] = binding.value
            if _is_cut(binding):
                self._cut[binding.key] = place

    def _get_value(self, env_key: str, default: Any) -> Any:
        return os.environ.get(env_key, self._in_file.get(env_key, default))

    def whole(self, name: str, default: str | None = None) -> str | None:
        """A text of which a part must not get lost, such as a password."""
        if name in self._cut and name not in os.environ:
            raise _invalid(
                name, f"in {self._cut[name]} a # after a space begins a comment; write the value in single quotes"
            )
        return self.str(name, default)

    def json_object(self, name: str) -> dict[str, Any]:
        """A JSON object, empty by default."""
        try:
            value = json.loads(self.whole(name) or "{}")
        except json.JSONDecodeError as error:
            raise _invalid(name, f"no JSON at line {error.lineno}, column {error.colno}: {error.msg}") from None
        if not isinstance(value, dict):
            raise _invalid(name, "it must be a JSON object")
        return value

    def texts(self, name: str, default: list[str], *, delimiter: str = ",") -> list[str]:
        """A list of texts, without the spaces around them."""
        value = self.whole(name)
        return default if value is None else [text.strip() for text in value.split(delimiter) if text.strip()]

    def user_and_password(self, name: str) -> tuple[str, str] | None:
        """A pair, separated by the first colon."""
        user, colon, password = (self.whole(name) or "").partition(":")
        if user and not colon:
            raise _invalid(name, "it must be user:password")
        return (user, password) if user else None

    def database(self, name: str, default: str) -> dict[str, Any]:
        """An entry of Django's DATABASES, from a URL, with the options that its engine needs here."""
        return _database(name, self.whole(name) or default)

    def databases(self, name: str) -> dict[str, dict[str, Any]]:
        """Further entries of DATABASES, from a JSON object with a URL for each."""
        return {alias: _database(f"{name}[{alias!r}]", str(url)) for alias, url in self.json_object(name).items()}


def _database(name: str, url: str) -> dict[str, Any]:
    parts = None
    try:
        found: dict[str, Any] = dict(dj_database_url.parse(url))
        parts = urlsplit(url)
    except ValueError:
        pass
    # postgres://user:1#2@host/name would be the host "user".
    if parts is None or parts.fragment or (parts.netloc and "@" in parts.path + parts.query and not found["USER"]):
        raise _invalid(
            name,
            "it must be a URL such as postgres://user:password@host/name; in user, password and name, characters "
            "such as # / ? : @ [ ] % are percent-encoded, for example # as %23 and / as %2F",
        )
    if found["ENGINE"] == "django.db.backends.mysql":
        import pymysql  # 25 ms, which other processes need not spend

        pymysql.install_as_MySQLdb()  # the name of the driver that Django asks for
    given = parse_qs(parts.query, keep_blank_values=True)
    options = _DATABASE_OPTIONS.get(str(found["ENGINE"]), {})
    options = {name: value for name, value in options.items() if name not in given}
    found["OPTIONS"] = {**options, **found.get("OPTIONS", {})}
    return found


def _invalid(name: str, why: str) -> EnvError:
    return EnvError(f'Environment variable "{name}" invalid: {why}')


def _bindings(file: Path) -> list[Binding]:
    if not file.exists():
        return []
    try:
        with file.open(encoding="utf-8") as lines:
            return list(parse_stream(lines))
    except (OSError, UnicodeDecodeError) as error:
        why = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise EnvError(f"{file} can't be read: {why}") from None


def _line(binding: Binding) -> int:
    text = binding.original.string
    return binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")


def _is_cut(binding: Binding) -> bool:
    text = binding.original.string.partition("=")[2].strip()
    return not text.startswith(("'", '"')) and text != binding.value
