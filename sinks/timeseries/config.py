"""Where a time-series sink stores, and what of a record becomes measurement, tags, fields and time of a point."""

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from kafka_client.structs import ready
from worker.urls import without_password

KAFKA = "kafka"
"""What `time` is where the time of the Kafka record is meant."""

OF_FIELD = "field:"
"""What `measurement` begins with where a field of the record has the name."""

TITLES = {"influxdb": "InfluxDB", "victoriametrics": "VictoriaMetrics"}

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Unit = Literal["s", "ms", "us", "ns"]


@ready
class TimeseriesTarget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `target` of a time-series sink. A field in an object within the record is written `outer.inner`."""

    url: str
    """The server, for example `http://localhost:8086`. A user and password in it are sent, and not shown."""
    measurement: Annotated[str, Meta(min_length=1, max_length=200)]
    """The measurement of the points, or `field:NAME` for the text of a field."""
    server: Literal["influxdb", "victoriametrics"] = "influxdb"
    """What the server is. `victoriametrics` stores numbers alone, so texts are no fields there."""
    database: Annotated[str, Meta(max_length=200, pattern=r'^[^\x00-\x1f\x7f"\\]*$')] = ""
    """The database of InfluxDB, which setup_pipeline makes where it is missing. VictoriaMetrics needs none; a name
    becomes the label `db` there."""
    tags: Annotated[tuple[Name, ...], Meta(max_length=25)] = ()
    """The fields of the record that are tags. Their values, with the measurement, say which series a point belongs to,
    so they should have few different values."""
    fields: tuple[Name, ...] = ()
    """The fields of the record that are fields of the point. Default: all numbers, booleans and texts, also those in
    objects, that are not used otherwise."""
    integers: tuple[Name, ...] = ()
    """The fields whose numbers are stored as integers of 64 bits. All others are floating-point numbers: JSON does not
    tell 1 from 1.0, and InfluxDB refuses a field whose type has changed."""
    time: Annotated[str, Meta(min_length=1, max_length=200)] = KAFKA
    """The field with the time of the point, as RFC 3339 or a number of `time_unit`, or `kafka` for the time of the
    Kafka record. A record without this time becomes a dead letter."""
    time_unit: Unit = "ms"
    """The unit of a `time` that is a number, since 1970."""
    precision: Unit = "ns"
    """The unit that times are cut to. With a longer one, more records of a series have the same time, and of these the
    last one stays."""
    spread: bool = False
    """Whether records of a series with the same millisecond are told apart: their nanoseconds are made of offset and
    partition. Needs `precision` ns, one topic, and InfluxDB."""
    gzip: bool = True
    """Whether requests are compressed. It costs processor time and spares the network."""
    timeout_seconds: Annotated[float, Meta(gt=0, le=300)] = 30.0
    """Seconds that the sink waits for a connection, and for an answer, before it tries again. Raise it for a server
    that answers slowly."""

    @property
    def measurement_field(self) -> str | None:
        """The field with the name of the measurement; None when all points have the same."""
        return self.measurement.removeprefix(OF_FIELD) if self.measurement.startswith(OF_FIELD) else None

    @property
    def name(self) -> str:
        """The server for people, with its address."""
        return f"{TITLES[self.server]} ({without_password(self.url)})"

    def of_record(self) -> Iterator[str]:
        """The fields of the record that it names."""
        yield from (*self.tags, *self.fields, *self.integers)
        if self.measurement_field is not None:
            yield self.measurement_field
        if self.time != KAFKA:
            yield self.time

    def __str__(self) -> str:
        return f"{self.name} {self.measurement}"

    def __repr__(self) -> str:
        return f"TimeseriesTarget({self})"  # without the password
