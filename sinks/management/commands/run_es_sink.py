"""`manage.py run_es_sink`: `run_sink` for sinks of the kind elasticsearch."""

from sinks.management.commands import run_sink


class Command(run_sink.Command):
    kind = "elasticsearch"
