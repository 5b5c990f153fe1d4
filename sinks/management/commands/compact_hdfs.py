"""`manage.py compact_hdfs`: `compact` for sinks of the kind hdfs."""

from sinks.management.compact import CompactCommand


class Command(CompactCommand):
    """Takes the entry hdfs where none is named."""

    kind = "hdfs"
    default = "hdfs"
