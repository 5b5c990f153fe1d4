"""What is to run, and what the workers say of it. The tables are the only truth of what connectors there are."""

from django.db import models


class TargetState(models.TextChoices):
    """What an operator wants of a connector; Kafka Connect's words."""

    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    STOPPED = "STOPPED"


class Connector(models.Model):
    """A sink or source that the workers are to run.

    config: its settings as they were given, texts by name; type: sink or source; generation: is raised by each change
    of the settings, and workers then begin anew; topics: those that it has used since they were last reset.
    """

    name = models.CharField(max_length=100, unique=True)
    type = models.CharField(max_length=6)
    config = models.JSONField()
    target_state = models.CharField(max_length=7, choices=TargetState.choices, default=TargetState.RUNNING)
    generation = models.IntegerField(default=1)
    topics = models.JSONField(default=list)
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class ConnectorTask(models.Model):
    """One task of a connector. slot: the partition of the assignment topic whose worker runs it; restarts: is raised
    when an operator has the task begin anew.
    """

    connector = models.ForeignKey(Connector, on_delete=models.CASCADE, related_name="tasks")
    number = models.IntegerField()
    slot = models.IntegerField()
    restarts = models.IntegerField(default=0)

    class Meta:
        default_permissions = ()
        ordering = ["connector", "number"]
        constraints = [models.UniqueConstraint(fields=["connector", "number"], name="connectors_one_task")]


class Worker(models.Model):
    """The last report of a process that runs connectors. report: a WorkerReport as JSON."""

    worker_id = models.CharField(max_length=300, unique=True)
    heard_at = models.DateTimeField()
    report = models.TextField()

    class Meta:
        default_permissions = ()
