"""`manage.py rewind_hdfs`: `rewind` for sinks of the kind hdfs."""

from sinks.management.commands import rewind


class Command(rewind.Command):
    kind = "hdfs"
