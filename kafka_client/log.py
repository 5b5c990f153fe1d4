"""What Kafka clients say, told once: librdkafka repeats itself several times a second while a broker is away."""

import logging

from confluent_kafka import KafkaError

# Each FAIL comes to error_cb as well; the others are tried again by librdkafka itself.
_NOISE = ("FAIL ", "GETPID ", "REQTMOUT ")

# Kafka can't be reached: normal while it restarts, said once by _ALL_BROKERS_DOWN.
_UNREACHABLE = {KafkaError._TRANSPORT, KafkaError._RESOLVE, KafkaError._TIMED_OUT}


def client_logger(name: str) -> logging.Logger:
    """The logger to be given to a Kafka client, without what is noise."""
    logger = logging.getLogger(name)
    if not logger.filters:
        logger.addFilter(lambda record: not record.getMessage().startswith(_NOISE))
    return logger


class Outage:
    """Tells the log once when Kafka goes away, and once when it is back.

    logger: of the client's owner; waiting: what happens meanwhile, for people.
    """

    def __init__(self, logger: logging.Logger, waiting: str) -> None:
        self._logger = logger
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
            self._logger.warning("Kafka: %s", error.str())

    def over(self, back: str) -> None:
        """To be called when Kafka has answered; back: what happens again."""
        if self.is_away:
            self.is_away = False
            self._logger.info("Kafka is back; %s", back)
