"""`manage.py run_hdfs_sink`: `run_sink` for sinks of the kind hdfs."""

from sinks.management.commands import run_sink


class Command(run_sink.Command):
    kind = "hdfs"
