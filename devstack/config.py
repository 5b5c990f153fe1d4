"""What a set of local servers looks like: folders, ports, how many, how much memory."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from devstack.errors import DevstackError
from devstack.ports import PortBook

PROJECT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class StackConfig:
    """One set of servers. `home` holds the fetched jars and may be shared; `data` and `logs` may not.

    Ports that are not named here (other brokers, DataNodes, controllers) are chosen free and remembered in
    `data`. Heaps are JVM sizes such as "512m". `fast_close` sets the DataNodes' own HDFS client to ask again
    after 5 ms instead of 400 ms when a file's last block is not reported yet. After `lease_seconds` the NameNode
    closes a file whose writer is gone. With `full_speed` Java compiles what is used much once more, and better: a start
    takes twice the CPU time, and what benchmarks measure is what production would have. Elasticsearch answers 413 to
    requests larger than `elasticsearch_max_content`.
    PostgreSQL, MariaDB and SeaweedFS are there only where `postgres_port`, `mariadb_port` and `s3_port` are given.
    """

    home: Path
    data: Path
    logs: Path
    kafka_port: int = 9092
    webhdfs_port: int = 9870
    elasticsearch_port: int = 9200
    postgres_port: int | None = None
    mariadb_port: int | None = None
    s3_port: int | None = None
    brokers: int = 1
    datanodes: int = 1
    kafka_heap: str = "1g"
    hdfs_heap: str = "512m"
    elasticsearch_heap: str = "1g"
    fast_close: bool = True
    lease_seconds: int = 1200
    elasticsearch_max_content: str = "100mb"
    full_speed: bool = False

    def __post_init__(self) -> None:
        if self.brokers < 1 or self.datanodes < 1:
            raise DevstackError("at least one broker and one DataNode are needed")
        for folder in ("home", "data", "logs"):
            object.__setattr__(self, folder, Path(getattr(self, folder)).resolve())

    @classmethod
    def in_home(cls, home: Path, **options: Any) -> Self:
        """Everything under one folder: `<home>/jars`, `<home>/data`, `<home>/logs`."""
        return cls(home=home, data=home / "data", logs=home / "logs", **options)

    @classmethod
    def on_free_ports(cls, data: Path, *, home: Path | None = None, **options: Any) -> Self:
        """For tests: ports chosen free and remembered in `data`, logs in `data`, jars of the project.

        A second call with the same `data` gives the same ports.
        """
        book = PortBook(Path(data) / "ports.json")
        return cls(
            home=home or PROJECT / ".devstack",
            data=data,
            logs=Path(data) / "logs",
            kafka_port=book.port("kafka-1"),
            webhdfs_port=book.port("webhdfs"),
            elasticsearch_port=book.port("elasticsearch"),
            **options,
        )

    @staticmethod
    def sizes_of(data: Path) -> tuple[int, int]:
        """How many brokers and DataNodes the data in this folder was made for: (1, 1) when there is none."""
        formatted = data / "kafka-1" / "formatted"
        brokers = int(formatted.read_text()) if formatted.exists() else 1
        return brokers, max(1, len(list(data.glob("datanode-*"))))

    @property
    def port_book(self) -> PortBook:
        """The ports remembered in the data folder."""
        return PortBook(self.data / "ports.json")
