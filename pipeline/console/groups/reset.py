"""Resets the offsets of a consumer group without members: what it would do, and doing what was shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from django.core import signing
from django.utils.translation import gettext as _

from pipeline.console.groups import asking
from pipeline.console.groups.child import Group
from pipeline.console.topics.browse import number_of, partitions_of, time_in_kafka
from pipeline.errors import ServerError
from pipeline.guard import guard
from pipeline.kafka_offsets import Partition
from pipeline.kafka_reads import MAX_OFFSET, MAX_PARTITION, server_name

Target = Literal["earliest", "latest", "offset", "time", "shift"]
TARGETS: tuple[Target, ...] = ("earliest", "latest", "offset", "time", "shift")

MOST_PARTITIONS = 2000
"""Of one reset: a group with more is reset by topics."""

_SALT = "console.groups.reset"
_SHOWN_SECONDS = 3600
"""So long a dry run can be confirmed."""


class Refused(Exception):
    """The group can't be reset now; the text says why. may_look_again: a new dry run may show something else."""

    def __init__(self, text: str, *, may_look_again: bool = False) -> None:
        super().__init__(text)
        self.may_look_again = may_look_again


@dataclass(frozen=True)
class Wish:
    """Where to a group is to go. topic: empty for all that it has committed; partition: None for all of the topic.

    number: the offset, the time in milliseconds, or by how much to shift.
    """

    target: Target
    topic: str = ""
    partition: int | None = None
    number: int = 0


@dataclass(frozen=True)
class Move:
    """A partition of a reset. before: what is committed, None without a commit; is_clamped: moved into what Kafka has;
    error: why the partition is left as it is.
    """

    topic: str
    partition: int
    before: int | None
    after: int | None
    is_clamped: bool = False
    error: str = ""

    @property
    def again(self) -> int:
        """Records that are read again, at most."""
        return 0 if self.before is None or self.after is None else max(0, self.before - self.after)

    @property
    def skipped(self) -> int:
        """Records that are left out, at most."""
        return 0 if self.before is None or self.after is None else max(0, self.after - self.before)


@dataclass(frozen=True)
class Plan:
    """A dry run. moves: of each partition that was asked for."""

    moves: list[Move]

    @property
    def done(self) -> list[Move]:
        """The partitions that would get another offset."""
        return [move for move in self.moves if move.after is not None and move.after != move.before]

    @property
    def again(self) -> int:
        """Records that are read again in all partitions, at most."""
        return sum(move.again for move in self.moves)

    @property
    def skipped(self) -> int:
        """Records that are left out in all partitions, at most."""
        return sum(move.skipped for move in self.moves)


def parse(query: Mapping[str, str]) -> Wish:
    """The wish of a form. Raises ValueError saying what is wrong with it."""
    target = query.get("to", "")
    if target not in TARGETS:
        raise ValueError(_("“to” must be one of {names}.").format(names=", ".join(TARGETS)))
    topic = query.get("topic", "").strip()
    partition = number_of(query.get("partition", ""), _("Partition"))
    if partition is not None and (not topic or partition > MAX_PARTITION):
        raise ValueError(_("A partition is chosen together with its topic."))
    return Wish(target, topic, partition, _number(target, query))


def _number(target: Target, query: Mapping[str, str]) -> int:
    match target:
        case "offset":
            found = number_of(query.get("offset", ""), _("Offset"))
        case "time":
            text = query.get("time", "").strip()
            found = time_in_kafka(text) if text else None
        case "shift":
            text = query.get("shift", "").strip()
            found = number_of(text.removeprefix("-").removeprefix("+"), _("By"))
            found = -found if found is not None and text.startswith("-") else found
        case _:
            return 0
    if found is None or abs(found) > MAX_OFFSET:
        raise ValueError(_("Say to which offset or time, or by how much."))
    return found


def plan(cluster: str, name: str, wish: Wish) -> Plan:
    """The dry run: asks Kafka, changes nothing. Raises Refused, NotThere, ServerError."""
    group = asking.read_group(cluster, name)
    check(cluster, group)
    committed = {(part.topic, part.partition): part.committed for part in group.offsets}
    held: dict[Partition, tuple[int | None, int | None, str]] = {
        (part.topic, part.partition): (part.first, part.end, part.error) for part in group.offsets
    }
    if wish.topic:
        with guard().read(server_name(cluster)):
            parts = partitions_of(cluster, wish.topic, wish.partition)
        held = {(wish.topic, part.partition): (part.first, part.end, part.error or "") for part in parts}
    if not held:
        raise Refused(_("The group has committed nothing: choose a topic."), may_look_again=True)
    if len(held) > MOST_PARTITIONS:
        text = _("These are {n} partitions; {most} can be reset at once. Choose a topic.")
        raise Refused(text.format(n=len(held), most=MOST_PARTITIONS), may_look_again=True)
    times, errors = _times(cluster, wish, list(held))
    moves = []
    for part, (first, end, error) in sorted(held.items()):
        before, error = committed.get(part), error or errors.get(part, "")
        if wish.target == "shift" and before is None:
            error = error or _("without a commit there is nothing to shift")
        if error or first is None or end is None:
            moves.append(Move(*part, before, None, error=error or _("Kafka does not tell its offsets")))
            continue
        asked = _asked(wish, before or 0, first, end, times.get(part, -1))
        after = min(max(asked, first), end)
        moves.append(Move(*part, before, after, is_clamped=after != asked))
    return Plan(moves)


def _asked(wish: Wish, before: int, first: int, end: int, at_time: int) -> int:
    match wish.target:
        case "earliest":
            return first
        case "latest":
            return end
        case "offset":
            return wish.number
        case "time":
            return at_time if at_time >= 0 else end
        case "shift":
            return before + wish.number


def _times(cluster: str, wish: Wish, parts: list[Partition]) -> tuple[dict[Partition, int], dict[Partition, str]]:
    if wish.target != "time":
        return {}, {}
    found = asking.offsets_at(cluster, parts, wish.number)
    return dict(found.offsets), dict(found.errors)


def check(cluster: str, group: Group) -> None:
    """Raises Refused for a group with members, ServerError for one of which Kafka does not tell."""
    if group.errors:
        raise ServerError(server_name(cluster), ", ".join(group.errors))
    if group.members or group.state not in ("empty", "dead"):
        raise Refused(_("The group has members. Stop them first: they would go on from where they are."))


def seal(cluster: str, name: str, found: Plan) -> str:
    """A dry run as text for the form that confirms it."""
    moves = [(move.topic, move.partition, move.before, move.after) for move in found.done]
    return signing.dumps([cluster, name, moves], salt=_SALT, compress=True)


def unseal(cluster: str, name: str, text: str) -> Plan:
    """The dry run that was shown. Raises Refused for another group's, or one that is too old."""
    try:
        of_cluster, of_name, moves = cast("Any", signing.loads(text, salt=_SALT, max_age=_SHOWN_SECONDS))
    except signing.BadSignature as error:
        raise Refused(_("The dry run is too old: look again."), may_look_again=True) from error
    if (of_cluster, of_name) != (cluster, name):
        raise Refused(_("The dry run is of another group: look again."), may_look_again=True)
    return Plan([Move(*move) for move in moves])


def carry_out(cluster: str, name: str, shown: Plan) -> list[str]:
    """Does what was shown; returns what Kafka refused of it, by partition. Raises Refused, ServerError."""
    expected = {(move.topic, move.partition): move.before for move in shown.done}
    wanted = {(move.topic, move.partition): cast("int", move.after) for move in shown.done}
    changed = asking.change(cluster, name, expected=expected, wanted=wanted)
    check(cluster, changed.group)
    if changed.refused:
        raise Refused(
            _("The group’s offsets have changed since the dry run; nothing was done. Look again."), may_look_again=True
        )
    if any(text.startswith("UNKNOWN_MEMBER_ID") for _part, text in changed.errors):
        raise Refused(_("A consumer joined the group right now, so Kafka refused: nothing was done."))
    return [f"{topic}-{number}: {text}" for (topic, number), text in changed.errors]
