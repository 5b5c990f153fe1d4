"""Leaves a consumer group."""

import logging
import threading
from contextlib import suppress

from confluent_kafka import Consumer, KafkaException

logger = logging.getLogger(__name__)

_LEAVE_SECONDS = 15.0
_POLL_SECONDS = 0.1
_CONSUME_RECORDS = 500


def leave_group(consumer: Consumer, name: str) -> None:
    """Gives all partitions back and closes the consumer. If that takes too long nothing is lost: Kafka will miss it.

    name: of the task, for the log.
    """
    # Kafka may be slow to let it go, and close() has no time-out.
    leaving = threading.Thread(target=_close, args=(consumer,), name=f"{name}-leaves", daemon=True)
    leaving.start()
    leaving.join(_LEAVE_SECONDS)
    if leaving.is_alive():
        logger.warning("%s: has not left its group within %g s; Kafka will miss it", name, _LEAVE_SECONDS)


def _close(consumer: Consumer) -> None:
    """Gives all partitions back before closing.

    A rebalance callback that is left to close() now and then waits for an answer that librdkafka never gives, and
    holds Python's lock meanwhile: all threads stand still for ever (librdkafka issue 4884; a way around it: 4527).
    """
    # After a fatal error of librdkafka there is no membership left to end, and no callback comes.
    with suppress(KafkaException):
        consumer.unsubscribe()
        has_partitions = True
        while has_partitions:
            consumer.consume(_CONSUME_RECORDS, timeout=_POLL_SECONDS)  # an assignment may still be due
            has_partitions = bool(consumer.assignment())
    consumer.close()
