"""Runs a stream with Quix Streams, which is imported here alone.

Quix Streams reads, processes, writes its results, state and offsets in one transaction of Kafka, and begins again at
the last one that was committed, whatever happened. So every error of Kafka has one answer here: begin again.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import KafkaException
from quixstreams import Application, message_context
from quixstreams.checkpointing.exceptions import CheckpointProducerTimeout
from quixstreams.dataframe import StreamingDataFrame
from quixstreams.exceptions import KafkaPartitionError, PartitionAssignmentError
from quixstreams.internal_producer import (
    InternalProducer,
    KafkaProducerTransactionAlreadyActive,
    KafkaProducerTransactionCommitFailed,
)
from quixstreams.kafka.exceptions import BaseKafkaException, KafkaBrokerUnavailableError
from quixstreams.models import SerializationContext, Serializer, Topic, TopicAdmin, TopicManager
from quixstreams.models.topics.exceptions import (
    CreateTopicFailure,
    CreateTopicTimeout,
    TopicConfigurationMismatch,
    TopicNotFoundError,
    TopicPartitionsMismatch,
)
from quixstreams.state.exceptions import (
    ChangelogTopicPartitionNotAssigned,
    InvalidStoreChangelogOffset,
    StateRecoveryOffsetOutOfRange,
)
from quixstreams.state.rocksdb.exceptions import RocksDBCorruptedError

from kafka_client.clusters import kafka_cluster
from kafka_client.log import client_logger, repeating_logger
from streams.config import StreamConfig
from streams.options import consumer_options, producer_options
from streams.registry import StreamEntry
from streams.states import StreamStatus
from streams.stream import BadRecord, Record
from worker import garbage
from worker.dead_letters import fitting, letter_headers
from worker.errors import Fatal
from worker.retry import Backoff

logger = logging.getLogger(__name__)
loop_logger = repeating_logger(__name__)

_POLL_SECONDS = 0.1
"""How long a poll waits for records. A transaction is committed between two polls."""
_AWAY_SECONDS = 10.0
"""After so long without any broker, the stream begins again, which shows in its state."""
_ANSWER_SECONDS = 1.0
"""How much later than its time-out the answer to a commit may come."""
_STOP_SECONDS = 0.2
"""How soon a signal is noticed."""

_OF_KAFKA = (
    KafkaException,
    BaseKafkaException,
    KafkaBrokerUnavailableError,
    KafkaPartitionError,
    PartitionAssignmentError,
    KafkaProducerTransactionCommitFailed,
    KafkaProducerTransactionAlreadyActive,
    CheckpointProducerTimeout,
    ChangelogTopicPartitionNotAssigned,
    CreateTopicFailure,
    CreateTopicTimeout,
    TopicNotFoundError,
)
"""Errors that beginning again may mend."""

_OF_OPERATION = (
    TopicConfigurationMismatch,
    TopicPartitionsMismatch,
    InvalidStoreChangelogOffset,
    StateRecoveryOffsetOutOfRange,
    RocksDBCorruptedError,
)
"""Errors that somebody must mend, and whose texts say how."""

for _name in ("kafka.consumer", "kafka.producer", "models.topics.admin"):
    client_logger(f"quixstreams.{_name}")  # librdkafka's lines of these clients; what repeats itself is counted


class StreamTask:
    """Runs a stream until it is told to stop; for worker.runner.

    state_path: the folder below which the stream keeps its state.
    """

    def __init__(self, entry: StreamEntry, status: StreamStatus, state_path: Path) -> None:
        self.name = entry.config.name
        self._entry = entry
        self._status = status
        self._state_path = state_path

    def run(self, stop: threading.Event) -> None:
        """Begins again after an error of Kafka, for as long as it takes. Raises Fatal, and what the stream raises."""
        backoff = Backoff()
        delays = backoff.delays()
        while not stop.is_set():
            records = self._status.records
            try:
                self._run_once(stop)
            except _OF_OPERATION as error:
                self._status.failed(error)
                raise Fatal(str(error)) from error
            except _OF_KAFKA as error:
                if self._status.records > records:
                    delays = backoff.delays()
                why = _reason(error)
                loop_logger.warning("%s: begins again at its last commit: %s", self.name, why)
                self._status.begins_again()
                self._status.backing_off("kafka", why)
                garbage.may_be_there()  # the clients of this attempt
                stop.wait(next(delays))
            except BaseException as error:
                self._status.failed(error)
                raise

    def _run_once(self, stop: threading.Event) -> None:
        config = self._entry.config
        app = _application(config, self._state_path, partial(_processed, self._status, self._entry.stream.topics_in))
        app.on_committed = self._status.committed
        self._entry.stream.build(QuixFlow(app, config, self._status))
        ended = threading.Event()
        stopper = threading.Thread(target=_stop, args=(app, stop, ended), name=f"{self.name}-stop", daemon=True)
        stopper.start()
        self._status.goes_on("kafka")
        try:
            app.run()
        finally:
            ended.set()
            stopper.join()


class QuixFlow:
    """What a stream puts its dataframes together with: see streams.stream.Flow."""

    def __init__(self, app: Application, config: StreamConfig, status: StreamStatus) -> None:
        self._app = app
        self._config = config
        self._status = status

    def read(self, topic: str, decode: Callable[[Record], Any]) -> StreamingDataFrame:
        """The dataframe of what `decode` makes of each record of a topic; what is bad goes to the dead letters."""
        records = self._app.dataframe(self._app.topic(topic, **_BYTES))
        tried = records.apply(partial(_tried, decode), metadata=True)
        letters = tried.filter(_is_bad).apply(self._letter, metadata=True)
        letters = letters.set_headers(lambda letter, *_: letter.headers)
        # With the time of an old record, Kafka would soon delete the dead letter for its age.
        letters = letters.set_timestamp(lambda *_: int(time.time() * 1000))
        letters.to_topic(self._app.topic(self._config.dead_letters, **_LETTERS), key=lambda letter: letter.key)
        return tried.filter(_is_good)

    def write(self, frame: StreamingDataFrame, topic: str, *, key: Callable[[Any], bytes]) -> None:
        """Each value of a dataframe becomes JSON in a topic."""
        frame.to_topic(self._app.topic(topic, value_serializer=_Json(), key_serializer="bytes"), key=key)

    def on_late(self, _value: Any, key: Any, timestamp: int, late: int, start: int, end: int, *place: Any) -> bool:
        """Counts and logs what came after the grace period; Quix Streams itself is to log nothing."""
        self._status.late()
        text = "%s: %s came %d ms too late for the window [%d, %d) and is not counted there"
        loop_logger.warning(text, self._config.name, key, late, start, end)
        return False

    def _letter(self, bad: "_Bad", _key: Any, timestamp: int, _headers: Any) -> "_Letter":
        context = message_context()
        origin = (context.topic, context.partition, context.offset)
        self._status.dead_letter()
        text = "%s: %s[%d] offset %d is a dead letter: %r"
        loop_logger.warning(text, self._config.name, *origin, bad.reason)
        record = bad.record
        headers = letter_headers(
            record.headers, reason=bad.reason, by=("stream", self._config.name), origin=origin, timestamp=timestamp
        )
        return _Letter(*fitting(record.value, record.key, headers))


class _Bad(NamedTuple):
    record: Record
    reason: str


class _Letter(NamedTuple):
    value: bytes | None
    key: bytes | None
    headers: list[tuple[str, bytes | None]]


def _tried(decode: Callable[[Record], Any], value: Any, key: Any, timestamp: int, headers: Any) -> Any:
    record = Record(value, key, timestamp, headers or ())
    try:
        return decode(record)
    except BadRecord as error:
        return _Bad(record, str(error))


def _is_bad(value: Any) -> bool:
    return isinstance(value, _Bad)


def _is_good(value: Any) -> bool:
    return not isinstance(value, _Bad)


class _Json(Serializer):  # type: ignore[misc]
    def __call__(self, value: Any, ctx: SerializationContext) -> bytes:
        return msgspec.json.encode(value)


class _LetterValue(Serializer):  # type: ignore[misc]
    def __call__(self, value: _Letter, ctx: SerializationContext) -> bytes | None:
        return value.value


_BYTES = {"value_deserializer": "bytes", "key_deserializer": "bytes"}
_LETTERS = {"value_serializer": _LetterValue(), "key_serializer": "bytes"}


class _Application(Application):  # type: ignore[misc]
    on_committed: Callable[[], None]

    def _setup_signal_handlers(self) -> None:
        """The process's runner handles signals."""

    def _get_internal_producer(self, *args: Any, **options: Any) -> InternalProducer:
        """A producer whose commits do not wait without end."""
        producer = super()._get_internal_producer(*args, **options)
        seconds = int(self._config.producer_extra_config["transaction.timeout.ms"]) / 1000
        producer.commit_transaction = partial(self._commit, producer.commit_transaction, seconds)
        return producer

    def _commit(self, commit: Callable[..., None], seconds: float, *args: Any, **options: Any) -> None:
        _committed(commit, seconds, *args, **options)
        self.on_committed()


class _Topics(TopicManager):  # type: ignore[misc]
    """Makes the topics that Quix Streams keeps state in; those that a stream names are made by `setup_pipeline`."""

    def _get_or_create_broker_topic(self, topic: Topic) -> Topic:
        if topic.is_regular:
            try:
                return self._fetch_topic(topic)
            except TopicNotFoundError:
                raise TopicNotFoundError(f"topic {topic.name} is missing: run `manage.py setup_pipeline`") from None
        return super()._get_or_create_broker_topic(topic)


def _application(config: StreamConfig, state_path: Path, on_processed: Callable[[str, int, int], None]) -> Application:
    consumer, producer = consumer_options(config), producer_options(config)
    brokers = kafka_cluster(config.kafka)["bootstrap.servers"]
    return _Application(
        brokers,
        consumer_group=config.group_id,
        auto_offset_reset="earliest",
        commit_interval=config.commit_seconds,
        consumer_extra_config=consumer,
        producer_extra_config=producer,
        state_dir=state_path / config.name,
        on_message_processed=on_processed,
        consumer_poll_timeout=_POLL_SECONDS,
        loglevel=None,
        auto_recover_from_source_offset_out_of_range=False,
        topic_manager=_Topics(TopicAdmin(brokers, extra_config=producer), consumer_group=config.group_id),
        processing_guarantee="exactly-once",
        broker_availability_timeout=_AWAY_SECONDS,
    )


def _committed(commit: Callable[..., None], seconds: float, *args: Any, timeout: float | None = None) -> None:
    """Commits on a thread of its own, which is left behind when it does not come back.

    After Kafka was away for some seconds, librdkafka (2.16) may wait for the answer to the offsets for ever, whatever
    time-out it was given. The stream then begins again with other clients. Kafka aborts the transaction after
    `seconds`; should it be committed after all, the new consumer is told its offsets no sooner than it is decided.
    """
    errors: list[BaseException] = []

    def work() -> None:
        try:
            commit(*args, timeout=seconds if timeout is None else min(timeout, seconds))
        except BaseException as error:  # noqa: BLE001 - raised again on the thread that waits
            errors.append(error)

    thread = threading.Thread(target=work, name="commit", daemon=True)
    thread.start()
    thread.join(seconds + _ANSWER_SECONDS)
    if thread.is_alive():
        why = f"Kafka has not answered a commit for {seconds:g} s"
        loop_logger.warning("%s", why)  # what is raised next hides it: librdkafka aborts nothing while it commits
        raise KafkaProducerTransactionCommitFailed(why)
    if errors:
        raise errors[0]


def _processed(status: StreamStatus, topics_in: Sequence[str], topic: str, _partition: int, _offset: int) -> None:
    if topic in topics_in:  # and not one that Quix Streams has put between
        status.processed()


def _stop(app: Application, stop: threading.Event, ended: threading.Event) -> None:
    """Stops the application once `stop` is set. It forgets that it was told so while it still starts: say it again."""
    while not ended.wait(_STOP_SECONDS):
        if stop.is_set():
            app.stop()


def _reason(error: Exception) -> str:
    cause = error.__cause__ or error
    text = cause.args[0].str() if isinstance(cause, KafkaException) else str(cause)
    return text or type(cause).__name__
