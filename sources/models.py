"""What running sources report. The table holds this state, and never a record."""

from django.db import models

from worker.process_row import ProcessRow


class SourceProcess(ProcessRow):
    """The last heartbeat of a process of a source. report: a SourceReport as JSON; stopped: it said goodbye."""

    source = models.CharField(max_length=100)

    class Meta(ProcessRow.Meta):
        constraints = [models.UniqueConstraint(fields=["source", "host", "pid"], name="sources_one_row_per_process")]

    def __str__(self) -> str:
        return f"{self.source} on {self.host}, pid {self.pid}"
