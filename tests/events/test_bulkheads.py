"""Each resource of the collector stuck in turn: what does not need it flows, and nothing of it is lost."""

import errno
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from events import feeder as feeder_module
from events.batch import to_payloads
from events.delivery import Delivery, Mode
from events.feeder import Feeder
from events.spool.log import Spool
from events.spool.reader import DAMAGED, SpoolReader
from kafka_client.producer import Record
from tests.events.fakes import FakeProducer
from tests.support import wait_until

MAX_BYTES = 2**20
OTHERS = [f"other-{number}" for number in range(3)]


class Site:
    """The delivery of a process, on a Kafka that lacks what the test says. Topics: `stuck`, and those of OTHERS."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(feeder_module, "ASIDE_SECONDS", 0.05)
        monkeypatch.setattr(feeder_module, "ADOPT_SECONDS", 0.05)
        monkeypatch.setattr(feeder_module, "_RETRY_SECONDS", 0.05)
        self.unreadable: set[Path] = set()
        read = SpoolReader.read

        def read_or_fail(reader: SpoolReader, max_records: int, max_bytes: int) -> list[bytes]:
            if reader.folder in self.unreadable:
                raise OSError(errno.EIO, "Input/output error")
            return read(reader, max_records, max_bytes)

        monkeypatch.setattr(SpoolReader, "read", read_or_fail)
        self.root = root
        self.kafka = FakeProducer()
        self.spool = self.another_spool()
        self.feeder = Feeder(root, self.spool, lambda: self.kafka)  # type: ignore[arg-type, return-value]
        self.delivery = Delivery(
            self.kafka,  # type: ignore[arg-type]
            lambda: self.kafka,  # type: ignore[arg-type, return-value]
            self.spool,
            self.feeder,
            acknowledge_seconds=0.3,
        )
        self.taken: Counter[tuple[str, bytes | None]] = Counter()
        self._numbers = iter(range(1_000_000))

    def another_spool(self, *, max_bytes: int = MAX_BYTES) -> Spool:
        return Spool(self.root, max_bytes=max_bytes, segment_bytes=16 * 1024, fsync="never")

    def take(self, topic: str, mode: Mode, count: int = 1) -> bool:
        """Whether all `count` events were taken."""
        records = [Record(topic, b"%d" % next(self._numbers)) for _ in range(count)]
        if self.delivery.take(records, mode) is not None:
            return False
        self.taken.update((record.topic, record.value) for record in records)
        return True

    def leave_spool(self, topic: str, count: int = 10) -> Path:
        """The folder of a process that died with events in its spool."""
        spool = self.another_spool(max_bytes=100 * MAX_BYTES)
        records = [Record(topic, b"%d" % next(self._numbers)) for _ in range(count)]
        spool.append(to_payloads(records))
        self.taken.update((record.topic, record.value) for record in records)
        spool.close()
        return spool.folder

    def has_all(self, *topics: str) -> bool:
        """Whether every event of these topics that was taken has arrived."""
        arrived = Counter(event for event in self.kafka.delivered if event[0] in topics)
        return arrived == Counter({event: n for event, n in self.taken.items() if event[0] in topics})

    def close(self) -> None:
        self.unreadable.clear()
        self.feeder.stop()
        self.feeder.close(0)
        self.spool.close()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    site = Site(tmp_path, monkeypatch)
    yield site
    site.close()


# Each makes one thing stuck, and returns how it is mended.


def missing_topic(site: Site) -> Callable[[], Any]:
    site.kafka.missing.add("stuck")
    assert site.take("stuck", Mode.SPOOLED, 10)
    return site.kafka.missing.clear


def topic_without_a_leader(site: Site) -> Callable[[], Any]:
    site.kafka.silent.add("stuck")
    assert site.take("stuck", Mode.SPOOLED, 10)
    wait_until(site.kafka.time_out, what="records that wait in vain")

    def mend() -> None:
        site.kafka.silent.clear()
        site.kafka.time_out()

    return mend


def kind_with_all_that_may_be_set_aside(site: Site) -> Callable[[], Any]:
    site.kafka.missing.add("stuck")
    wait_until(lambda: not site.take("stuck", Mode.SPOOLED, 1000), what="a refusal")
    return site.kafka.missing.clear


def set_aside_spool(site: Site) -> Callable[[], Any]:
    mend = missing_topic(site)
    wait_until(lambda: site.feeder.aside == 10)
    site.unreadable.update(path for path in site.root.iterdir() if path != site.spool.folder)
    mend()
    return site.unreadable.clear


def adopted_spool(site: Site) -> Callable[[], Any]:
    spool = site.another_spool()
    site.unreadable.add(spool.folder)
    record = Record("stuck", b"x" * 500)
    spool.append(to_payloads([record] * 1900))
    site.taken[record.topic, record.value] += 1900
    spool.close()
    wait_until(lambda: site.feeder._adopted and site.spool.used < 16 * 1024, what="room for others")
    return site.unreadable.clear


def damaged_adopted_spool(site: Site) -> Callable[[], Any]:
    spool = site.another_spool()
    spool.append([b"no record"])
    spool.close()
    return lambda: None


def damaged_record(site: Site) -> Callable[[], Any]:
    site.spool.append([b"no record", *to_payloads([Record("stuck", b"after it")])])
    site.taken["stuck", b"after it"] += 1
    return lambda: None


STUCK = [
    missing_topic,
    topic_without_a_leader,
    kind_with_all_that_may_be_set_aside,
    set_aside_spool,
    adopted_spool,
    damaged_adopted_spool,
    damaged_record,
]


@pytest.mark.parametrize("stick", STUCK)
def test_one_stuck_thing_stops_nothing_else(site: Site, stick: Callable[[Site], Callable[[], Any]]) -> None:
    mend = stick(site)
    for mode in Mode:
        assert all(site.take(topic, mode, 20) for topic in OTHERS * 50)
    left = site.leave_spool(OTHERS[0])
    wait_until(lambda: site.has_all(*OTHERS), seconds=5, what="the events of all others")
    wait_until(lambda: not left.exists(), seconds=5, what="the end of the spool of a process that is gone")
    mend()
    wait_until(lambda: site.has_all("stuck", *OTHERS), seconds=5, what="what was stuck")
    wait_until(lambda: site.take("stuck", Mode.SPOOLED), seconds=5, what="its own events again")


def test_a_spool_that_can_not_be_read_stops_what_is_in_it_alone(site: Site) -> None:
    site.unreadable.add(site.spool.folder)
    assert site.take("stuck", Mode.SPOOLED, 10)
    left = site.leave_spool(OTHERS[0])
    for mode in (Mode.ACCEPTED, Mode.ACKNOWLEDGED):
        assert all(site.take(topic, mode, 20) for topic in OTHERS)
    wait_until(lambda: site.has_all(*OTHERS), seconds=5, what="the events of all others")
    wait_until(lambda: not left.exists(), seconds=5)
    site.unreadable.clear()
    wait_until(lambda: site.has_all("stuck"), seconds=5, what="what was stuck")


@pytest.mark.parametrize("mode", [Mode.ACCEPTED, Mode.SPOOLED])
def test_in_a_batch_of_several_kinds_the_one_with_no_room_is_refused_alone(site: Site, mode: Mode) -> None:
    kind_with_all_that_may_be_set_aside(site)
    refusal = site.delivery.take([Record("other-0", b"a"), Record("stuck", b"b"), Record("other-1", b"c")], mode)
    assert refusal is not None
    assert list(refusal.indexes) == [1]
    wait_until(lambda: {("other-0", b"a"), ("other-1", b"c")} <= set(site.kafka.delivered))
    assert site.spool.used < MAX_BYTES / 10
    assert site.feeder.aside_bytes < MAX_BYTES / 2


def test_in_an_outage_of_all_kafka_nothing_is_set_aside(site: Site) -> None:
    site.kafka.is_reached = False
    site.kafka.silent.update(["stuck", *OTHERS])
    assert all(site.take(topic, Mode.SPOOLED) for topic in OTHERS)
    wait_until(site.kafka.time_out)
    wait_until(site.kafka.time_out, what="another try")
    assert site.feeder.aside == 0
    site.kafka.silent.clear()
    site.kafka.time_out()
    wait_until(lambda: site.has_all(*OTHERS))


def test_what_can_not_be_decoded_is_kept_counted_and_told(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    damaged_record(site)
    wait_until(lambda: site.has_all("stuck"))
    assert (site.feeder.fed, site.feeder.dropped) == (2, 1)
    (kept,) = (site.root / DAMAGED).iterdir()
    assert b"no record" in kept.read_bytes()
    assert [str(kept) in message for message in caplog.messages] == [True]


def test_what_fails_again_and_again_is_told_once(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    tries = Counter[str]()
    make = site.feeder._make_producer

    def fails() -> Any:
        tries["failed"] += 1
        raise RuntimeError("no such option")

    site.feeder._make_producer = fails
    assert site.take(OTHERS[0], Mode.SPOOLED)
    wait_until(lambda: tries["failed"] >= 3)
    site.feeder._make_producer = make
    wait_until(lambda: site.has_all(*OTHERS))
    assert [record.exc_info is not None for record in caplog.records] == [True]
