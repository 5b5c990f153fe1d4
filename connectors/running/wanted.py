"""What the tables say is to run."""

from collections.abc import Mapping
from dataclasses import dataclass

from connectors.models import Connector, ConnectorTask, TargetState


@dataclass(frozen=True)
class Wanted:
    """A task that is to run on the worker of its slot. id: of its row, which is new when it is made again."""

    id: int
    connector: str
    type: str
    number: int
    slot: int
    generation: int
    restarts: int
    paused: bool
    config: Mapping[str, str]

    @property
    def key(self) -> tuple[str, int]:
        """What identifies the task."""
        return self.connector, self.number

    @property
    def version(self) -> tuple[int, int, int]:
        """A task with another one is to begin anew: after a change of the settings, and after a restart."""
        return self.id, self.generation, self.restarts


def read_tables() -> list[Wanted]:
    """All tasks of connectors that are not stopped. Raises django.db.Error."""
    rows = ConnectorTask.objects.select_related("connector").exclude(connector__target_state=TargetState.STOPPED)
    return [_wanted(row, row.connector) for row in rows]


def _wanted(task: ConnectorTask, connector: Connector) -> Wanted:
    return Wanted(
        id=task.pk,
        connector=connector.name,
        type=connector.type,
        number=task.number,
        slot=task.slot,
        generation=connector.generation,
        restarts=task.restarts,
        paused=connector.target_state == TargetState.PAUSED,
        config=connector.config,
    )
