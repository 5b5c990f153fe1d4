"""What running sources report. The table holds this state, and never a record."""

from django.db import models


class SourceProcess(models.Model):
    """The last heartbeat of a process of a source. report: a SourceReport as JSON; stopped: it said goodbye."""

    source = models.CharField(max_length=100)
    host = models.CharField(max_length=255)
    pid = models.IntegerField()
    started = models.DateTimeField()
    version = models.CharField(max_length=50)
    heard_at = models.DateTimeField()
    stopped = models.BooleanField(default=False)
    records_per_second = models.FloatField(default=0)
    report = models.TextField()

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["source", "host", "pid"], name="sources_one_row_per_process")]

    def __str__(self) -> str:
        return f"{self.source} on {self.host}, pid {self.pid}"
