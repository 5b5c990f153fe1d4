"""What librdkafka's own statistics (`statistics.interval.ms`) say of the brokers. No Django, no Kafka here."""

from dataclasses import dataclass

import msgspec


class _Window(msgspec.Struct, frozen=True):
    p99: int = 0


class _Broker(msgspec.Struct):
    state: str
    rxidle: int = -1
    rtt: _Window = _Window()
    int_latency: _Window = _Window()


class _Statistics(msgspec.Struct):
    brokers: dict[str, _Broker] = {}


_decode = msgspec.json.Decoder(_Statistics).decode


@dataclass(frozen=True)
class BrokerStatistics:
    """The brokers at a moment.

    silent_seconds: since one that is connected has sent something, None when none is connected; queue_microseconds,
    broker_microseconds: 99th percentiles of a record's time in the queue, and of a broker's time to answer.
    """

    silent_seconds: float | None = None
    queue_microseconds: int = 0
    broker_microseconds: int = 0


def read_statistics(text: str | bytes) -> BrokerStatistics:
    """The argument of stats_cb. Raises msgspec.MsgspecError when it can't be understood."""
    brokers = _decode(text).brokers.values()
    silent = [broker.rxidle for broker in brokers if broker.state in ("UP", "UPDATE") and broker.rxidle >= 0]
    return BrokerStatistics(
        silent_seconds=min(silent) / 1_000_000 if silent else None,
        queue_microseconds=max((broker.int_latency.p99 for broker in brokers), default=0),
        broker_microseconds=max((broker.rtt.p99 for broker in brokers), default=0),
    )
