"""What a kind of sink declares: everything that other code may want to know of the kind.

docs/adding-a-sink.md shows how to add one.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, NamedTuple, Protocol

import msgspec

from events.schema import Check, check_for
from sinks.config import SinkConfig
from sinks.files.contents import FileLayout
from sinks.files.store import FileBrowser
from sinks.findings import Finding
from sinks.log_reader import LogReader
from sinks.loop.writer import Writer
from sinks.records import Partition, Record
from sinks.reporting.metrics import SinkMetrics
from worker.retry import Retry
from worker.servers import Server

TopicId = Callable[[str], str]
"""Gives Kafka's own id of a topic. A topic that is deleted and made again gets another id. Raises Retriable."""


class Comparison(Protocol):
    """The comparison of one partition with its store. notes: what an operator should know besides."""

    notes: Sequence[str] = ()

    @property
    def counted(self) -> str:
        """How many records belong into the store, and how many do not. Complete once the last finding was given."""

    def findings(self, records: Iterable[Record]) -> Iterator[Finding]:
        """What is wrong with the store. records: Kafka's of the range, in order."""


Verification = Callable[[Partition, int, int], Comparison]
"""Begins the comparison of a partition, from an offset up to another (excluded)."""


class Rewinding(Protocol):
    """A partition that an operator wants to go on at another offset.

    to: where it would go on, which may be before the offset that was asked for; leaves_out: whether that is further
    than now, so that records would be stored nowhere; told: what would happen, for people.
    """

    to: int
    leaves_out: bool
    told: Sequence[str]

    def carry_out(self, retry: Retry, *, skip: bool) -> str:
        """Does it; returns what was done, for people. skip: records may be left out. Raises Fatal and Fenced."""


class BrowsedFiles(NamedTuple):
    """The files of a sink, for people.

    server: whose they are, by name; path: the folder of all of them; layout: how they are named; browser: given a
    time-out in seconds and how many reads go on at a time at most, connects.
    """

    server: str
    path: str
    layout: FileLayout
    browser: Callable[[float, int], FileBrowser]


class Documents(NamedTuple):
    """The documents of a sink in Elasticsearch, for people.

    cluster: an entry of settings.ELASTICSEARCH_DSL; readers: the index or alias that is searched; id: what their ids
    are made of; time: the field with their time, or `kafka`; user_agent_field: the field whose browser and system are
    stored with each, empty for none.
    """

    cluster: str
    readers: str
    id: str
    time: str
    user_agent_field: str


class Kind(ABC):
    """A kind of sink.

    name: what entries of SINKS call it; title: for people; target: the type of an entry's `target`; options: where the
    defaults of an entry's `options` differ from SinkOptions; restarts: whether an operator can have a partition read
    again by the running sink, without a command; stores_letters: whether it can store single records again, out of
    their order; stores_text: whether it can store lines that are no JSON.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    target: ClassVar[type[msgspec.Struct]]
    options: ClassVar[Mapping[str, Any]] = {}
    restarts: ClassVar[bool] = False
    stores_letters: ClassVar[bool] = False
    stores_text: ClassVar[bool] = False

    @abstractmethod
    def writer(self, sink: SinkConfig, *, topic_id: TopicId, connections: int, metrics: SinkMetrics) -> Writer:
        """What stores the records of a sink; connections: so many threads use it at a time.

        Raises ImproperlyConfigured and ValueError.
        """

    @abstractmethod
    def check(self, sink: SinkConfig) -> None:
        """Raises ValueError, or ImproperlyConfigured, when the target can't be used; connects to nothing."""

    @abstractmethod
    def prepare(self, sink: SinkConfig) -> Iterator[str]:
        """Makes what the sink stores in, where missing; yields a line on each thing. Raises Retriable and Fatal."""

    @abstractmethod
    def verification(self, sink: SinkConfig, reader: LogReader) -> Verification:
        """Looks at the store, once for all partitions. reader: of the sink's Kafka cluster. Raises Retriable, Fatal."""

    @abstractmethod
    def servers(self, sinks: Iterable[SinkConfig]) -> list[Server]:
        """The servers that these sinks of the kind store in, each once."""

    def warnings(self, sink: SinkConfig) -> Iterable[str]:
        """What is allowed, but most likely not meant."""
        return ()

    def conflicts(self, one: SinkConfig, other: SinkConfig) -> Iterable[str]:
        """Why two sinks of this kind can't run side by side, a text for each reason. Asked once for each pair."""
        return ()

    def record_check(self, sink: SinkConfig) -> Check:
        """Tells the records that the sink can store from those that become dead letters."""
        return check_for(sink.event)

    def databases(self, sink: SinkConfig) -> Iterable[str]:
        """The entries of settings.DATABASES that it uses."""
        return ()

    def host_paths(self, sink: SinkConfig) -> Iterable[str]:
        """The files and folders of this host that the sink writes. Who may make connectors may not choose any."""
        return ()

    def urls(self, sink: SinkConfig) -> Iterable[str]:
        """The URLs that its target names. Who may make connectors may not choose any."""
        return ()

    def keeps_newest(self, sink: SinkConfig) -> bool:
        """Whether of several records with one key, or id, the newest alone is kept."""
        return False

    def resume_offset(self, sink: SinkConfig, partition: Partition) -> int | None:
        """Where the store itself says that the sink goes on; None where Kafka's committed offset says it.

        Raises Retriable and Fatal.
        """
        return None

    def rewinding(
        self, sink: SinkConfig, partition: Partition, to: int, others: Sequence[SinkConfig]
    ) -> AbstractContextManager[Rewinding] | None:
        """Looks at what it would take to go on at an offset; None where `manage.py rewind` can't do it.

        others: the other sinks of this kind. Raises Retriable and Fatal.
        """
        return None

    def rewind_command(self, sink: SinkConfig, partition: str, to: str) -> str:
        """The command that has a partition stored again from an offset; empty where there is none."""
        return ""

    def files(self, sink: SinkConfig) -> BrowsedFiles | None:
        """Its files, for a kind that stores files."""
        return None

    def documents(self, sink: SinkConfig) -> Documents | None:
        """Its documents, for a kind that stores documents in Elasticsearch."""
        return None
