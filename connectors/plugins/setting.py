"""A setting of a connector: its type, default and rule, as Kafka Connect's ConfigDef has them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

Type = Literal["STRING", "INT", "LONG", "BOOLEAN", "LIST", "CLASS", "PASSWORD"]

MASK = "********"
"""Stands for a secret that the reader may not see."""

_SECRET = r"password|passwd|pwd|secret|token|credential|jaas|access\.?key"
_NAME = re.compile(rf"{_SECRET}|api\.?key|\.key$|\.key\.pem$|headers$", re.IGNORECASE)
"""Matches the names of settings that hold secrets, for those that no class knows."""

_IN_URL = re.compile(
    # https://user:PASSWORD@host and ?password=PASSWORD
    rf"(?P<user>://[^/?#\s\"@:]*:)[^/?#\s\"]*(?=@)|(?P<query>[?&;][^=&;#\s\"]*(?:{_SECRET}|key)[^=&;#\s\"]*=)[^&;#\s\"]*",
    re.IGNORECASE,
)
_MASKED = re.compile(r"(^|[:=])\*{8}($|[@&;\"])")
"""Matches what `without_secrets` has left of a secret."""

_BOUNDS = {"INT": 2**31, "LONG": 2**63}


def without_secrets(name: str, text: str) -> str:
    """The text of a setting for those who may not see secrets: no password, and none within a URL."""
    return MASK if _NAME.search(name) else without_passwords(text)


def without_passwords(text: str) -> str:
    """A text whose URLs show no passwords."""
    return _IN_URL.sub(lambda found: f"{found['user'] or found['query']}{MASK}", text)


class SettingError(ValueError):
    """A value of a setting can't be used; the text says why."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting. name: a name that ends with a star stands for all that begin with what is before.

    default: the text that stands for a missing one; doc: what it does here; ignored: why the setting has no effect
    here, empty where it has; values: the only ones that can be used; check: raises ValueError for further reasons.
    """

    name: str
    type: Type = "STRING"
    default: str | None = None
    required: bool = False
    importance: Literal["HIGH", "MEDIUM", "LOW"] = "MEDIUM"
    group: str = "Connector"
    doc: str = ""
    ignored: str = ""
    values: tuple[str, ...] = ()
    least: int | None = None
    check: Callable[[Any], None] | None = None

    def read(self, text: str | None) -> Any:
        """The value of a text, or of the default; None where there is neither. Raises SettingError."""
        text = self.default if text is None else text
        if text is None:
            if self.required:
                raise SettingError(
                    self.name, f'Missing required configuration "{self.name}" which has no default value.'
                )
            return None
        self._check_mask(text)
        value = self._typed(text.strip() if self.type != "PASSWORD" else text)
        if self.values and value not in self.values:
            raise self._error(text, f"String must be one of: {', '.join(self.values)}")
        if self.least is not None and value < self.least:
            raise self._error(text, f"Value must be at least {self.least}")
        if self.check is not None:
            try:
                self.check(value)
            except ValueError as error:
                raise self._error(text, str(error)) from error
        return value

    def named(self, name: str) -> "Setting":
        """The setting that a pattern stands for."""
        return replace(self, name=name)

    def _check_mask(self, text: str) -> None:
        """What stood in an answer for a secret that the reader may not see is sent back."""
        if _MASKED.search(text):
            raise self._error(text, "it stands for a secret that was not shown; give the secret")

    def _typed(self, text: str) -> Any:
        if self.type in _BOUNDS:
            try:
                number = int(text)
            except ValueError:
                raise self._error(text, f"Not a number of type {self.type}") from None
            if not -_BOUNDS[self.type] <= number < _BOUNDS[self.type]:
                raise self._error(text, f"Not a number of type {self.type}")
            return number
        if self.type == "BOOLEAN":
            if text.lower() not in ("true", "false"):
                raise self._error(text, "Expected value to be either true or false")
            return text.lower() == "true"
        if self.type == "LIST":
            return [part.strip() for part in text.split(",") if part.strip()]
        return text

    def _error(self, text: str, why: str) -> SettingError:
        shown = MASK if self.type == "PASSWORD" else text
        return SettingError(self.name, f"Invalid value {shown} for configuration {self.name}: {why}")


Settings = Mapping[str, Setting]


def by_name(*settings: Setting) -> dict[str, Setting]:
    """The settings by their names."""
    return {setting.name: setting for setting in settings}
