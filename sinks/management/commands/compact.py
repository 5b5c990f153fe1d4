"""`manage.py compact`: for sinks of every kind that stores files."""

from sinks.management.compact import CompactCommand


class Command(CompactCommand):
    """Takes any entry of SINKS that stores files."""
