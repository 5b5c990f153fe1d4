"""`manage.py verify_es`: `verify` for sinks of the kind elasticsearch."""

from sinks.management.verify import VerifyCommand


class Command(VerifyCommand):
    """Compares a sink's documents with what Kafka still has."""

    kind = "elasticsearch"
    default = "elasticsearch"
