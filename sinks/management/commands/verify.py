"""`manage.py verify`: proves that a sink of any kind has stored every Kafka record once."""

from sinks.management.verify import VerifyCommand


class Command(VerifyCommand):
    """Compares what a sink has stored with what Kafka still has."""
