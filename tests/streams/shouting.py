"""A stream of tests: makes texts loud."""

from collections.abc import Sequence

import msgspec

from kafka_client.names import Topic
from streams.stream import BadRecord, Flow, Record, Stream


class ShoutingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From where to where."""

    read: Topic
    to: Topic


class Shouting(Stream[ShoutingSettings]):
    """Each text in capital letters."""

    settings = ShoutingSettings

    @property
    def topics_in(self) -> Sequence[str]:
        return [self.values.read]

    @property
    def topics_out(self) -> Sequence[str]:
        return [self.values.to]

    def build(self, flow: Flow) -> None:
        flow.write(flow.read(self.values.read, _text).apply(str.upper), self.values.to, key=str.encode)


def _text(record: Record) -> str:
    if record.value is None:
        raise BadRecord("the record has no value")
    try:
        return record.value.decode()
    except UnicodeDecodeError as error:
        raise BadRecord("no UTF-8") from error
