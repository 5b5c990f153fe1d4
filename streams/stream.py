"""What a stream is. No Quix Streams here: settings can be read and checked where it is not installed.

docs/adding-a-stream.md shows how to add one.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

import msgspec

S = TypeVar("S", bound=msgspec.Struct)
T = TypeVar("T")


class Record(NamedTuple):
    """A record of a topic as Kafka has it. timestamp: its time in milliseconds."""

    value: bytes | None
    key: bytes | None
    timestamp: int
    headers: Sequence[tuple[str, bytes | None]]


class BadRecord(Exception):
    """A stream can't use a record: it becomes a dead letter. The text says why."""


class Flow(Protocol):
    """What `Stream.build` puts its dataframes together with. A dataframe is a StreamingDataFrame of Quix Streams."""

    def read(self, topic: str, decode: Callable[[Record], Any]) -> Any:
        """The dataframe of what `decode` makes of each record of a topic.

        A record for which `decode` raises BadRecord goes to the dead-letter topic, in the transaction that reads it.
        """

    def write(self, frame: Any, topic: str, *, key: Callable[[Any], bytes]) -> None:
        """Each value of a dataframe becomes JSON in a topic. key: makes the record's key of the value."""

    def on_late(self, *details: Any) -> bool:
        """To be given to windows as `on_late`: counts and logs what came after the grace period."""


class Stream(ABC, Generic[S]):
    """A stream: reads topics, writes topics. A subclass is made with the settings of its entry of STREAMS.

    name: of a built-in stream; settings: the type of `settings` in an entry, whose values msgspec checks.
    """

    name: ClassVar[str]
    settings: type[S]

    def __init__(self, values: S) -> None:
        self.values = values
        self.check()

    def check(self) -> None:
        """Raises ValueError for settings that are wrong in a way that their types do not tell."""

    @property
    @abstractmethod
    def topics_in(self) -> Sequence[str]:
        """The topics that it reads."""

    @property
    @abstractmethod
    def topics_out(self) -> Sequence[str]:
        """The topics that it writes, but for that of the dead letters."""

    @abstractmethod
    def build(self, flow: Flow) -> None:
        """Builds the dataframes, from `flow.read` to `flow.write`."""


def decoded(record: Record, decoder: "msgspec.json.Decoder[T]") -> T:
    """What a decoder makes of a record's value. Raises BadRecord."""
    if record.value is None:
        raise BadRecord("the record has no value")
    try:
        return decoder.decode(record.value)
    except RecursionError:
        raise BadRecord("JSON that is nested too deeply") from None
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise BadRecord(str(error)) from error
