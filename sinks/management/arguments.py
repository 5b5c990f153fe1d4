"""Arguments of commands, checked before anything is done."""

from argparse import ArgumentTypeError
from collections.abc import Callable

_MOST = 2**63 - 1
"""The highest offset."""


def folder(text: str) -> str:
    """The argparse type of a folder below a data folder, in which readers see files; without a slash at its end."""
    path = text.removesuffix("/")
    if any(part == "" or part[0] in "._" for part in path.split("/")):
        raise ArgumentTypeError(
            f"{text!r} must be a path below the sink's, with no slash first, no // and no part that begins with . or _"
        )
    return path


def whole(least: int, most: int = _MOST) -> Callable[[str], int]:
    """The argparse type of whole numbers of a range; argparse names the option before what is wrong with it."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError as error:
            raise ArgumentTypeError(f"{text!r} is not a whole number") from error
        if not least <= number <= most:
            bound = f"at least {least}" if number < least else f"at most {most}"
            raise ArgumentTypeError(f"{number} must be {bound}")
        return number

    return read
