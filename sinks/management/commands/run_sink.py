"""`manage.py run_sink`: Kafka to the store of a sink, of whatever kind."""

from sinks.management.run import SinkCommand


class Command(SinkCommand):
    """Runs an entry of SINKS."""

    help = "Stores the records of Kafka topics as an entry of SINKS says, until SIGTERM or SIGINT."
