"""The clock that the processes of all hosts share."""

from datetime import datetime

from django.db import connection
from django.utils import timezone


def database_now() -> datetime:
    """The time by the database's clock, which is one for all hosts. Raises django.db.Error where it does not answer."""
    if connection.vendor == "sqlite":
        return timezone.now()  # all processes are on this host
    with connection.cursor() as cursor:
        cursor.execute("SELECT CURRENT_TIMESTAMP")
        moment: datetime = cursor.fetchone()[0]
    return moment
