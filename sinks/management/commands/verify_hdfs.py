"""`manage.py verify_hdfs`: `verify` for sinks of the kind hdfs."""

from sinks.management.commands import verify


class Command(verify.Command):
    kind = "hdfs"
