"""What Kafka clients say, told once: librdkafka repeats itself hundreds of times a second while a broker comes back."""

import logging
import math
import re
import threading
import time
from collections.abc import Callable

from confluent_kafka import KafkaError

REPEAT_SECONDS = 10.0
"""How often lines of one cause are told."""

# Each FAIL comes to error_cb as well; the others are tried again by librdkafka itself.
_NOISE = ("FAIL ", "GETPID ", "REQTMOUT ")

# Kafka can't be reached: normal while it restarts, said once by _ALL_BROKERS_DOWN.
_UNREACHABLE = {KafkaError._TRANSPORT, KafkaError._RESOLVE, KafkaError._TIMED_OUT}

_CAUSES = 1000
"""How many causes are remembered."""

# Ids of topics as Kafka writes them, and numbers: of partitions, offsets, ports, clients.
_VARYING = re.compile(r"(?<![\w/+-])[\w/+-]{22}(?![\w/+-])|0x[0-9a-fA-F]+|\d+")


class Repeats(logging.Filter):
    """Lets the first line of a cause through; those that follow are counted, and the next one after `seconds` says so.

    A cause is a line without its numbers and ids, with the error that it tells of.
    """

    def __init__(self, seconds: float = REPEAT_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._told: dict[str, tuple[float, int]] = {}  # when each cause was told, and how many lines came since

    def filter(self, record: logging.LogRecord) -> bool:
        """Called by logging with each line; those for debugging all pass."""
        if record.levelno <= logging.DEBUG:
            return True
        error = record.exc_info[1] if record.exc_info else None
        cause = _VARYING.sub("#", f"{record.levelname} {record.getMessage()} {error!r}")
        now = self._clock()
        with self._lock:
            told_at, repeats = self._told.get(cause, (-math.inf, 0))
            is_told = now - told_at >= self._seconds
            if len(self._told) >= _CAUSES:
                self._told.clear()
            self._told[cause] = (now, 0) if is_told else (told_at, repeats + 1)
        if is_told and repeats:
            record.msg, record.args = f"{record.getMessage()} (repeated {repeats} times)", None
        return is_told


def repeating_logger(name: str) -> logging.Logger:
    """A logger for the lines of module `name` that may come again and again for one cause, as those of a loop do."""
    logger = logging.getLogger(f"{name}.repeating")
    if not logger.filters:
        logger.addFilter(Repeats())
    return logger


def client_logger(name: str) -> logging.Logger:
    """The logger to be given to a Kafka client, without what is noise; what repeats itself is counted."""
    logger = logging.getLogger(name)
    if not logger.filters:
        logger.addFilter(lambda record: not record.getMessage().startswith(_NOISE))
        logger.addFilter(Repeats())
    return logger


class Outage:
    """Tells the log once when Kafka goes away, and once when it is back.

    logger: of the client's owner; waiting: what happens meanwhile, for people.
    """

    def __init__(self, logger: logging.Logger, waiting: str) -> None:
        self._logger = logger
        self._loop_logger = repeating_logger(logger.name)
        self._waiting = waiting
        self.is_away = False
        """Whether Kafka is known to be away."""

    def note(self, error: KafkaError) -> None:
        """To be called with every error of error_cb."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            if not self.is_away:
                self.is_away = True
                self._logger.warning("Kafka is away (%s); %s", error.str(), self._waiting)
        elif error.code() in _UNREACHABLE:
            self._logger.debug("Kafka: %s", error.str())
        else:
            self._loop_logger.warning("Kafka: %s", error.str())

    def over(self, back: str) -> None:
        """To be called when Kafka has answered; back: what happens again."""
        if self.is_away:
            self.is_away = False
            self._logger.info("Kafka is back; %s", back)
