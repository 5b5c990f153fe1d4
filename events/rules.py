"""What a field of an event may hold. A kind of event names a rule by annotation: `title: Annotated[str, Text(80)]`.

No Django here.
"""

import math
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

MAX_TEXT = 256
"""The longest text of a field whose kind says nothing else, in characters."""

# JavaScript holds every whole number up to it exactly, and so does a long of Elasticsearch.
_MAX_INTEGER = 2**53 - 1

# Decoding puts this character in the place of bytes that are not UTF-8.
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

# No control character, and not blank.
_PRINTABLE = r"^(?=.*\S)[^\x00-\x1f\x7f-\x9f\ufffd]*$"

REQUIRED = "This field is required."


class Rule(ABC):
    """The rule of one field."""

    @abstractmethod
    def error(self, value: object) -> str | None:
        """What is wrong with a value, None when nothing is."""

    def allows_all(self, values: Sequence[object]) -> bool:
        """Whether nothing is wrong with any of the values. May be False, too, where only `error` can tell."""
        return not any(map(self.error, values))

    @abstractmethod
    def schema(self) -> dict[str, object]:
        """The rule as JSON Schema."""

    @abstractmethod
    def example(self) -> object:
        """A value that the rule allows."""


@dataclass(frozen=True)
class Text(Rule):
    """A text that is not blank and has no control characters. max_length: in characters."""

    max_length: int = MAX_TEXT

    def error(self, value: object) -> str | None:
        # Nearly every text passes this quick test. Only for the others the exact error is looked for.
        if (
            type(value) is str
            and value.isprintable()
            and 0 < len(value) <= self.max_length
            and not value.isspace()
            and _REPLACEMENT not in value
        ):
            return None
        if not isinstance(value, str):
            return "Must be one string."
        if not value.strip():
            return "Must not be empty."
        if len(value) > self.max_length:
            return f"Must be at most {self.max_length} characters long, not {len(value)}."
        if _REPLACEMENT in value:
            return "Must be valid UTF-8."
        for character in value:
            category = unicodedata.category(character)
            if category == "Cc":
                return f"Must not contain control characters (U+{ord(character):04X})."
            if category == "Cs":
                return f"Must be valid Unicode (U+{ord(character):04X} is half a character)."
        return None

    def allows_all(self, values: Sequence[object]) -> bool:
        if type(self) is not Text:  # it may have an `error` of its own
            return super().allows_all(values)
        try:
            text = "".join(values)  # type: ignore[arg-type]
        except TypeError:
            return False
        if not text.isprintable() or _REPLACEMENT in text or "" in values:
            return False
        if " " in text and any(map(str.isspace, values)):  # type: ignore[arg-type]
            return False
        return max(map(len, values)) <= self.max_length  # type: ignore[arg-type]

    def schema(self) -> dict[str, object]:
        return {"type": "string", "minLength": 1, "maxLength": self.max_length, "pattern": _PRINTABLE}

    def example(self) -> object:
        return "text"[: self.max_length]


@dataclass(frozen=True)
class Integer(Rule):
    """A whole number, bounds included."""

    minimum: int = -_MAX_INTEGER
    maximum: int = _MAX_INTEGER

    def error(self, value: object) -> str | None:
        if not isinstance(value, int) or isinstance(value, bool):
            return "Must be a whole number."
        return _bounds_error(value, self.minimum, self.maximum)

    def schema(self) -> dict[str, object]:
        return {"type": "integer", "minimum": self.minimum, "maximum": self.maximum}

    def example(self) -> object:
        return min(max(1, self.minimum), self.maximum)


@dataclass(frozen=True)
class Number(Rule):
    """A number, bounds included."""

    minimum: float = -math.inf
    maximum: float = math.inf

    def error(self, value: object) -> str | None:
        if not isinstance(value, int | float) or isinstance(value, bool):
            return "Must be a number."
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            return "Must be a number that a computer can hold."
        return _bounds_error(number, self.minimum, self.maximum)

    def schema(self) -> dict[str, object]:
        bounds = {"minimum": self.minimum, "maximum": self.maximum}
        return {"type": "number", **{name: bound for name, bound in bounds.items() if math.isfinite(bound)}}

    def example(self) -> object:
        return min(max(0.5, self.minimum), self.maximum)


@dataclass(frozen=True)
class Flag(Rule):
    """True or false."""

    def error(self, value: object) -> str | None:
        return None if isinstance(value, bool) else "Must be true or false."

    def schema(self) -> dict[str, object]:
        return {"type": "boolean"}

    def example(self) -> object:
        return True


_DEFAULTS: dict[Any, Rule] = {str: Text(), int: Integer(), float: Number(), bool: Flag()}


def rule_of(annotation: Any) -> Rule:
    """The rule that a field's type names, else that of its plain type. Raises TypeError for a type that has none."""
    if hasattr(annotation, "__metadata__"):
        annotation, *metadata = get_args(annotation)
        for given in metadata:
            if isinstance(given, Rule):
                return given
    try:
        return _DEFAULTS[annotation]
    except (KeyError, TypeError):
        raise TypeError(f"{annotation!r} is no type of a field; str, int, float and bool are") from None


def _bounds_error(value: float, minimum: float, maximum: float) -> str | None:
    if value < minimum:
        return f"Must be at least {minimum}."
    if value > maximum:
        return f"Must be at most {maximum}."
    return None
