"""`manage.py verify_hdfs`: `verify` for sinks of the kind hdfs."""

from sinks.management.verify import VerifyCommand


class Command(VerifyCommand):
    """Compares a sink's HDFS files with what Kafka still has."""

    kind = "hdfs"
    default = "hdfs"
