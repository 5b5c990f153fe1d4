"""What a source's process tells the project's database."""

from sources.models import SourceProcess
from worker.process_row import ReportHeartbeat


class SourceHeartbeat(ReportHeartbeat):
    """The thread that reports for a process of a source, whose status is a SourceReport."""

    rows = SourceProcess
    column = "source"
