"""Finds fields of JSON objects by their names in the settings of a sink. No Django here."""

from collections.abc import Mapping
from typing import Any


def within(fields: Mapping[str, Any], path: str) -> Any:
    """A field of an object, such as `inner` in the object `outer` by `outer.inner`; None where there is none.

    An object may also have a field of that name, dots included.
    """
    if "." not in path:
        return fields.get(path)
    found: Any = fields
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return fields.get(path) if found is None else found
