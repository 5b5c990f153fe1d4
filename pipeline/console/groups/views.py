"""The pages of consumer groups: the list of each cluster, and one group with its members and offsets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET

from pipeline.access import RESET
from pipeline.conf import console_settings
from pipeline.console.by_cluster import check_cluster, search_page, server_of
from pipeline.console.groups import asking
from pipeline.console.groups.child import Group, Member, Offsets
from pipeline.console.pages import link, page_response
from pipeline.console.paging import Part, page_number
from pipeline.console.panels import panel, section
from pipeline.lag import Progress, progress, total
from sinks.registry import sinks


@dataclass(frozen=True)
class ShownGroup:
    """A group for people. sinks: of this project, whose group it is."""

    group: Group
    sinks: tuple[str, ...]

    @property
    def title(self) -> str:
        """Its name for people."""
        return title_of(self.group.name)

    @property
    def state(self) -> str:
        """Its state in the reader's language."""
        states = {
            "stable": _("stable"),
            "empty": _("empty: no members"),
            "dead": _("does not exist"),
            "preparing_rebalancing": _("rebalancing: members join"),
            "completing_rebalancing": _("rebalancing: partitions are given out"),
        }
        if not self.group.state and self.group.protocol == "consumer":
            return _("partitions are being given out")  # librdkafka has no words for these states
        return states.get(self.group.state, "–")

    @property
    def exists(self) -> bool:
        """Whether Kafka knows a group of this name, as far as it told."""
        return bool(self.group.state != "dead" or self.group.offsets or self.group.errors)

    @property
    def topics(self) -> list[str]:
        """The topics that it has committed or reads."""
        return list(dict.fromkeys(part.topic for part in self.group.offsets))

    @property
    def partitions(self) -> list[tuple[Offsets, Progress, Member | None]]:
        """Its partitions in order, how far it is in each, and which member reads it now."""
        readers = {part: member for member in self.group.members for part in member.partitions}
        return [
            (
                one,
                progress(first=one.first, end=one.end, committed=one.committed),
                readers.get((one.topic, one.partition)),
            )
            for one in self.group.offsets
        ]

    @property
    def lag(self) -> int | None:
        """How far it is behind in all partitions, None when not known."""
        return total(found.lag for _offsets, found, _member in self.partitions)


@require_GET
def index(request: HttpRequest) -> HttpResponseBase:
    """The page with the groups of each cluster, or of one."""
    heading = _("Consumer groups of the cluster {cluster}")
    return search_page(request, groups_panel, title=_("Consumer groups"), heading=heading)


@panel(
    "groups",
    gettext_lazy("Consumer groups"),
    "groups/list.html",
    "console:groups_panel",
    server=server_of,
    query=("q", "page"),
)
def groups_panel(query: Mapping[str, str], cluster: str) -> dict[str, Any]:
    """A page of a cluster's groups."""
    asked = {"q": text} if (text := query.get("q", "").strip()) else {}
    number = page_number(query.get("page", ""))
    found = asking.list_groups(cluster, text=asked.get("q", ""), number=number)
    owners = sinks_of_groups(cluster)
    groups = [ShownGroup(group, owners.get(group.name, ())) for group in found.groups]
    part = Part(groups, found.number, found.total, console_settings().records)
    links = part.links({"cluster": cluster, **asked})
    return {"cluster": cluster, "part": part, "links": links, "asked": asked, "errors": found.errors}


@require_GET
def group(request: HttpRequest, cluster: str) -> HttpResponseBase:
    """A group's page. Its name is in the query, for it may hold any characters."""
    check_cluster(cluster)
    name = request.GET.get("name", "")
    return page_response(
        request,
        "groups/group.html",
        title=title_of(name),
        group=name,
        sinks=sinks_of_groups(cluster).get(name, ()),
        panels=[section(group_panel, {"name": name}, cluster=cluster)],
        reset=link("group_reset", cluster, name=name),
        may_reset=request.user.has_perm(RESET),
    )


@panel(
    "group",
    gettext_lazy("Members and offsets"),
    "groups/details.html",
    "console:group_panel",
    server=server_of,
    query=("name",),
)
def group_panel(query: Mapping[str, str], cluster: str) -> dict[str, Any]:
    """A group's state, members and partitions."""
    name = query.get("name", "")
    limit = console_settings().partitions
    found = ShownGroup(asking.read_group(cluster, name), sinks_of_groups(cluster).get(name, ()))
    members, partitions = found.group.members, found.partitions
    return {
        "cluster": cluster,
        "shown": found,
        "members": [(member, member.partitions[:limit], len(member.partitions)) for member in members[:limit]],
        "more_members": max(0, len(members) - limit),
        "partitions": partitions[:limit],
        "more_partitions": max(0, len(partitions) - limit),
    }


def sinks_of_groups(cluster: str) -> dict[str, tuple[str, ...]]:
    """The sinks of this project by the name of their group."""
    found: dict[str, tuple[str, ...]] = {}
    for sink in sinks().values():
        if sink.kafka == cluster:
            found[sink.group] = (*found.get(sink.group, ()), sink.name)
    return found


def title_of(name: str) -> str:
    """A group's name for people."""
    return name or _("(no name)")
