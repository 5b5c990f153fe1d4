"""`manage.py run_hdfs_sink`: `run_sink` for sinks of the kind hdfs."""

from sinks.management.run import SinkCommand


class Command(SinkCommand):
    """Runs an entry of SINKS of the kind hdfs."""

    help = "Stores the records of Kafka topics in HDFS, as an entry of SINKS says, until SIGTERM or SIGINT."
    kind = "hdfs"
    default = "hdfs"
