"""`manage.py compact_hdfs`: `compact` for sinks of the kind hdfs."""

from sinks.management.commands import compact


class Command(compact.Command):
    kind = "hdfs"
