"""What running streams report. The table holds this state, and never a record."""

from django.db import models

from worker.process_row import ProcessRow


class StreamProcess(ProcessRow):
    """The last heartbeat of a process of a stream. report: a StreamReport as JSON; stopped: it said goodbye."""

    stream = models.CharField(max_length=100)

    class Meta(ProcessRow.Meta):
        constraints = [models.UniqueConstraint(fields=["stream", "host", "pid"], name="streams_one_row_per_process")]

    def __str__(self) -> str:
        return f"{self.stream} on {self.host}, pid {self.pid}"
