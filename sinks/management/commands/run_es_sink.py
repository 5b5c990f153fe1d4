"""`manage.py run_es_sink`: `run_sink` for sinks of the kind elasticsearch."""

from sinks.management.run import SinkCommand


class Command(SinkCommand):
    """Runs an entry of SINKS of the kind elasticsearch."""

    help = "Stores the records of Kafka topics in Elasticsearch, as an entry of SINKS says, until SIGTERM or SIGINT."
    kind = "elasticsearch"
    default = "elasticsearch"
