"""A kind of event beside select-color, as docs/collecting.md declares it."""

from typing import Annotated

from msgspec import Meta

from events.event import Event
from events.rules import Integer, Text


class PageView(Event, frozen=True, gc=False):
    """Somebody looked at a page."""

    path: Annotated[str, Text(max_length=2048), Meta(description="Without the host.", examples=["/shop"])]
    title: str = ""
    seconds: Annotated[int, Integer(minimum=0)] = 0
    share: float = 0.0
    isNew: bool = False
