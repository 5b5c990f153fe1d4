"""`manage.py rewind_hdfs`: `rewind` for sinks of the kind hdfs."""

from sinks.management.rewind import RewindCommand


class Command(RewindCommand):
    """Takes the entry hdfs where none is named."""

    kind = "hdfs"
    default = "hdfs"
