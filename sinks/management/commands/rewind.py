"""`manage.py rewind`: for sinks of every kind that stores files."""

from sinks.management.rewind import RewindCommand


class Command(RewindCommand):
    """Takes any entry of SINKS that stores files."""
