"""Replaces `${env:NAME}` and `${file:/path:key}` in the settings of a connector, as Kafka Connect's providers do."""

import os
import re
from collections.abc import Mapping

from connectors.conf import connectors_settings

_REFERENCE = re.compile(r"\$\{(env|file):([^}]*)\}")


class SecretError(ValueError):
    """A reference can't be replaced; the text says why, and tells no secret."""


def has_references(text: str) -> bool:
    """Whether there is something to replace."""
    return _REFERENCE.search(text) is not None


def is_reference(text: str) -> bool:
    """Whether the whole text is replaced, so that it holds no secret itself."""
    return has_references(text) and not _REFERENCE.sub("", text).strip()


def with_secrets(config: Mapping[str, str]) -> dict[str, str]:
    """The settings with what their references stand for on this host. Raises SecretError."""
    return {name: _REFERENCE.sub(_replaced, text) for name, text in config.items()}


def _replaced(match: re.Match[str]) -> str:
    provider, what = match.groups()
    if provider == "env":
        prefix = connectors_settings().secrets_prefix
        if not prefix or not what.startswith(prefix):
            begin = f"begin with {prefix}" if prefix else "be allowed by CONNECTORS['secrets_prefix']"
            raise SecretError(f"{match[0]}: the variable must {begin}")
        if what not in os.environ:
            raise SecretError(f"{match[0]}: there is no such variable on this host")
        return os.environ[what]
    path, _, key = what.rpartition(":")
    return _property(match[0], path, key)


def _property(reference: str, path: str, key: str) -> str:
    folder = connectors_settings().secrets_folder
    real = os.path.realpath(path)
    if not folder or not real.startswith(f"{os.path.realpath(folder).rstrip('/')}/"):
        raise SecretError(f"{reference}: the file must lie below {folder or 'a CONNECTORS[secrets_folder]'}")
    try:
        with open(real, encoding="utf-8") as lines:
            for line in lines:
                name, sign, value = line.partition("=")
                if sign and name.strip() == key and not line.lstrip().startswith(("#", "!")):
                    return value.strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SecretError(f"{reference}: the file can't be read: {type(error).__name__}") from error
    raise SecretError(f"{reference}: the file has no such key")
