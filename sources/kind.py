"""What a kind of source declares: everything that other code may want to know of the kind.

docs/adding-a-source.md shows how to add one.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Protocol

import msgspec

from kafka_client.producer import Record
from sources.config import SourceConfig
from sources.reader import PartReader, Position
from worker.servers import Server


class Verification(Protocol):
    """Compares what a source has read with what Kafka holds.

    topics: of the records that it needs. The command gives each record of these topics to `take`, partition by
    partition in order; then it asks for the findings.
    """

    topics: Iterable[str]

    def take(self, record: Record) -> None:
        """A committed record that Kafka holds."""

    def findings(self) -> Iterator[str]:
        """What is missing, twice or different, a line for people each. Raises Retriable and Fatal."""

    @property
    def counted(self) -> str:
        """How much was compared, for people. Complete once the last finding was given."""


class SourceKind(ABC):
    """A kind of source.

    name: what entries of SOURCES call it; title: for people; target: the type of an entry's `target`; defaults: where
    the defaults of an entry differ from SourceConfig, also below `options`; local: whether what is read belongs to this
    host, so that each host has positions of its own.

    The tasks of a process share one kind; `parts`, `reader` and the reader's methods are called on the task's thread.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    target: ClassVar[type[msgspec.Struct]]
    defaults: ClassVar[Mapping[str, Any]] = {}
    local: ClassVar[bool] = False

    @abstractmethod
    def check(self, source: SourceConfig) -> None:
        """Raises ValueError, or ImproperlyConfigured, when the target can't be used; connects to nothing."""

    @abstractmethod
    def topics(self, source: SourceConfig) -> list[str]:
        """The topics of the source's records, where they are known beforehand. `setup_pipeline` makes them."""

    @abstractmethod
    def parts(self, source: SourceConfig) -> Iterable[str]:
        """The names of the parts that there are now. Asked again every `poll_seconds`. Raises Retriable and Fatal."""

    @abstractmethod
    def reader(self, source: SourceConfig, part: str) -> PartReader:
        """A reader of a part, not opened yet."""

    @abstractmethod
    def servers(self, sources: Iterable[SourceConfig]) -> list[Server]:
        """The servers that these sources of the kind read, each once."""

    def warnings(self, source: SourceConfig) -> Iterable[str]:
        """What is allowed, but most likely not meant."""
        return ()

    def prepare(self, source: SourceConfig) -> Iterator[str]:
        """Makes or looks at what the source needs besides its topics; yields a line on each thing.

        Raises Retriable and Fatal.
        """
        yield from ()

    def databases(self, source: SourceConfig) -> Iterable[str]:
        """The entries of settings.DATABASES that it uses."""
        return ()

    def host_paths(self, source: SourceConfig) -> Iterable[str]:
        """The files and folders of this host that the source reads. Who may make connectors may not choose any."""
        return ()

    def urls(self, source: SourceConfig) -> Iterable[str]:
        """The addresses that it asks by HTTP. Who may make connectors may not choose any."""
        return ()

    def described(self, source: SourceConfig) -> str:
        """What the source reads, for the log and the console, without passwords."""
        return self.title

    def position(self, source: SourceConfig, part: str, text: str) -> Position:
        """The position that an operator gives as a text: by default a JSON object. Raises ValueError."""
        found = json.loads(text)
        if not isinstance(found, dict):
            raise ValueError("a position is a JSON object")
        return found

    def verification(self, source: SourceConfig, positions: Mapping[str, Position]) -> Verification | None:
        """Begins a comparison up to these positions, by part; None for a kind that can't compare.

        Raises Retriable and Fatal.
        """
        return None
