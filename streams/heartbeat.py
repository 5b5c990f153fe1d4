"""What a stream's process tells the project's database."""

from streams.models import StreamProcess
from worker.process_row import ReportHeartbeat


class StreamHeartbeat(ReportHeartbeat):
    """The thread that reports for a process of a stream, whose status is a StreamReport."""

    rows = StreamProcess
    column = "stream"
