"""What running sinks report, and what operators want of them. The tables hold this state, and never an event."""

from django.db import models

from worker.process_row import ProcessRow

ALL_PARTITIONS = -1


class SinkProcess(ProcessRow):
    """The last heartbeat of a process of a sink. report: a SinkReport as JSON; stopped: it said goodbye."""

    sink = models.CharField(max_length=100)

    class Meta(ProcessRow.Meta):
        constraints = [models.UniqueConstraint(fields=["sink", "host", "pid"], name="sinks_one_row_per_process")]

    def __str__(self) -> str:
        return f"{self.sink} on {self.host}, pid {self.pid}"


class SinkLag(models.Model):
    """How far a process of a sink was behind at a moment. parts: [[topic, partition, end, stored], …] as JSON."""

    sink = models.CharField(max_length=100)
    sampled_at = models.DateTimeField()
    parts = models.TextField()

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["sink", "sampled_at"])]


class SinkPause(models.Model):
    """A sink, or one of its partitions, is to be paused for as long as this row is there.

    topic "" and partition ALL_PARTITIONS: the whole sink.
    """

    sink = models.CharField(max_length=100)
    topic = models.CharField(max_length=249, blank=True)
    partition = models.IntegerField(default=ALL_PARTITIONS)
    asked_at = models.DateTimeField(auto_now_add=True)
    asked_by = models.CharField(max_length=150)

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["sink", "topic", "partition"], name="sinks_one_pause")]


class SinkRestart(models.Model):
    """A partition is to be read again from an offset. done_at: when its owner did, or refused for `error`."""

    sink = models.CharField(max_length=100)
    topic = models.CharField(max_length=249)
    partition = models.IntegerField()
    offset = models.BigIntegerField()
    asked_at = models.DateTimeField(auto_now_add=True)
    asked_by = models.CharField(max_length=150)
    done_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True)

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["sink", "done_at"])]
