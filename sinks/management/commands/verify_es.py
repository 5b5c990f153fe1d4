"""`manage.py verify_es`: `verify` for sinks of the kind elasticsearch."""

from sinks.management.commands import verify


class Command(verify.Command):
    kind = "elasticsearch"
