"""The pages of files: the sinks' folders, a folder, a file with its first and last lines, downloads. All read-only."""

from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_GET

from pipeline.conf import console_settings
from pipeline.console.audit import audited, log_read
from pipeline.console.files.folders import browsing, file_sinks, find_files, inside, list_folder, newest_files
from pipeline.console.files.lookup import LookUp
from pipeline.console.files.preview import NoPreview, preview
from pipeline.console.models import ActionKind
from pipeline.console.pages import NotThere, link, named, page_response
from pipeline.console.panels import panel, section
from pipeline.console.sending import Source, download
from pipeline.console.topics.browse import number_of, one_message
from pipeline.errors import ServerError
from sinks.config import SinkConfig
from sinks.files.layout import OPEN
from sinks.files.naming import FileNames
from sinks.files.store import FileStatus
from sinks.kind import BrowsedFiles
from sinks.records import Partition, Record


@require_GET
def index(request: HttpRequest) -> HttpResponseBase:
    """The folders of the sinks."""
    sinks = [
        (config, files, section(summary_panel, id=f"sink-{config.name}", title=config.name, sink=config.name))
        for config, files in file_sinks().values()
    ]
    return page_response(request, "files/index.html", title=_("Files"), sinks=sinks)


@panel("summary", gettext_lazy("Files"), "files/summary.html", "console:folder_summary", is_live=False)
def summary_panel(request: HttpRequest, sink: str) -> dict[str, Any]:
    """How much lies below a sink's folder."""
    config, files = named(file_sinks(), sink)
    with browsing(config) as browser:
        count, folders, size = browser.summary(files.path)
    return {"files": count, "folders": folders - 1, "size": size}


@require_GET
def folder(request: HttpRequest, sink: str) -> HttpResponseBase:
    """A folder's page."""
    config, files = named(file_sinks(), sink)
    path = _path(request, files)
    query = {"path": path, "after": request.GET.get("after", "")}
    title = path.rpartition("/")[2] or files.path
    return page_response(
        request,
        "files/folder.html",
        title=title,
        sink=config,
        target=files,
        crumbs=_crumbs(path),
        path=path,
        topics=config.topics if len(config.topics) > 1 else (),
        panels=[section(folder_panel, query, title=title, sink=sink)],
    )


@require_GET
def jump(request: HttpRequest, sink: str) -> HttpResponseBase:
    """Leads to where a folder's list has the file of an offset, or the newest files of a partition."""
    config, files = named(file_sinks(), sink)
    path, given = _path(request, files), request.GET
    try:
        number = number_of(given.get("partition", ""), _("Partition")) or 0
        offset = number_of(given.get("offset", ""), _("Offset"))
        partition = Partition(given.get("topic") or config.topics[0], number)
        if offset is None:
            found = newest_files(config, path, partition, console_settings().records)
        else:
            found = find_files(config, path, partition, offset).names[-1:]
        text = _("The folder has no file of this partition with such offsets.")
    except (ServerError, NotThere, ValueError) as error:
        found, text = [], str(error)
    if not found:
        return _missing(request, config, files, text, crumbs=_crumbs(path))
    return HttpResponseRedirect(link("folder", sink, path=path, after=found[0][:-1]))


@panel("folder", gettext_lazy("Files"), "files/list.html", "console:folder_list", is_live=False)
def folder_panel(request: HttpRequest, sink: str) -> dict[str, Any]:
    """The entries of a folder."""
    config, files = named(file_sinks(), sink)
    path = _path(request, files)
    after = request.GET.get("after", "")
    entries, has_more = list_folder(config, inside(files, path), after=after, count=console_settings().records)
    names = files.layout.names
    rows = [_row(sink, path, entry, names) for entry in entries]
    return {
        "rows": rows,
        "following": link("folder", sink, path=path, after=entries[-1].name) if entries and has_more else None,
        "files": sum(not entry.is_folder for entry in entries),
        "size": sum(entry.length for entry in entries),
        "is_page": bool(after or has_more),
    }


@require_GET
def file(request: HttpRequest, sink: str) -> HttpResponseBase:
    """A file's page."""
    config, files = named(file_sinks(), sink)
    path = _path(request, files)
    title = path.rpartition("/")[2]
    return page_response(
        request,
        "files/file.html",
        title=title,
        sink=config,
        target=files,
        crumbs=_crumbs(path)[:-1],
        panels=[section(preview_panel, {"path": path}, title=title, sink=sink)],
        download_url=link("file_download", sink, path=path),
    )


@panel("file", gettext_lazy("Content"), "files/preview.html", "console:file_preview", is_live=False)
def preview_panel(request: HttpRequest, sink: str) -> dict[str, Any]:
    """What is known of a file, and its first and last lines."""
    config, files = named(file_sinks(), sink)
    path = _path(request, files)
    conf = console_settings()
    log_read(request, f"files of {sink}", path)
    found, reason = None, ""
    with browsing(config) as browser:
        place = inside(files, path)
        status = browser.status(place)
        if status.is_folder:
            raise NotThere(_("This is a folder."))
        try:
            bounds = {"text_bytes": conf.preview_bytes, "decoded_bytes": conf.decoded_bytes}
            found = preview(browser, place, status.length, **bounds)
        except NoPreview as error:
            reason = str(error)
    row = _row(sink, path.rpartition("/")[0], status, files.layout.names)
    return {"row": row, "preview": found, "reason": reason, "cluster": config.kafka}


@require_GET
def download_view(request: HttpRequest, sink: str) -> HttpResponseBase:
    """A file as it is."""
    config, files = named(file_sinks(), sink)
    path = _path(request, files)

    def begin() -> Source:
        with browsing(config) as browser:
            return Source(*browser.open(inside(files, path)))

    try:
        with audited(request, ActionKind.DOWNLOAD, f"files of {sink}", path) as action:
            return download(path.rpartition("/")[2], "application/octet-stream", begin, action)
    except NotThere as error:
        raise Http404(str(error)) from error


@require_GET
def find(request: HttpRequest, sink: str, topic: str, partition: int, offset: int) -> HttpResponseBase:
    """Leads to the file that holds a record; `after`: the name up to which its folder was looked at before."""
    config, files = named(file_sinks(), sink)
    if topic not in config.topics:
        raise Http404("the sink does not read this topic")
    further = None
    try:
        folder, found = _find(config, files, Partition(topic, partition), offset, after=request.GET.get("after", ""))
    except (ServerError, NotThere) as error:
        text = str(error)
    else:
        name = found.names[-1] if found.names else ""
        if (read := files.layout.names.read(name)) is not None and read[2] >= offset:
            return HttpResponseRedirect(link("file", sink, path=f"{folder}/{name}" if folder else name))
        if found.after is None:
            text = _("No file of this sink holds the record, yet or any more.")
        else:
            text = ngettext(
                "The record’s file is not among the {n} name that was looked at. The folder has more.",
                "The record’s file is not among the {n} names that were looked at. The folder has more.",
                found.looked,
            ).format(n=f"{found.looked:,}")
            further = urlencode({"after": found.after})
    title = _("The file of {record}").format(record=f"{topic}-{partition}-{offset}")
    return _missing(request, config, files, text, title=title, further=further)


def _missing(
    request: HttpRequest, config: SinkConfig, files: BrowsedFiles, text: str, *, title: str = "", **context: Any
) -> HttpResponseBase:
    title = title or _("Files")
    context = {"crumbs": [], **context}
    return page_response(request, "files/missing.html", title=title, sink=config, target=files, text=text, **context)


def _find(
    config: SinkConfig, files: BrowsedFiles, partition: Partition, offset: int, *, after: str
) -> tuple[str, LookUp]:
    layout = files.layout
    below = ""
    if not layout.folders.is_flat:
        # Which folder a record is in depends on the record alone.
        message = one_message(config.kafka, partition.topic, partition.number, offset)
        if message is None:
            raise NotThere(_("The record is no longer in Kafka, so the folder of its file is not known."))
        try:
            below = layout.folders.of(Record(offset, message.value, message.timestamp or 0, message.key, None))
        except (ValueError, RecursionError) as error:
            text = _("The record is no JSON object, so this sink stores it in no file; its dead letters may have it.")
            raise NotThere(text) from error
    return below, find_files(config, below, partition, offset, after=after)


def _path(request: HttpRequest, files: BrowsedFiles) -> str:
    """The path of the query, below the sink's folder; one that leads elsewhere is not found."""
    path = request.GET.get("path", "")
    try:
        inside(files, path)
    except ValueError as error:
        raise Http404(str(error)) from error
    return path


def _row(sink: str, path: str, entry: FileStatus, names: FileNames) -> dict[str, Any]:
    place = f"{path}/{entry.name}" if path else entry.name
    row: dict[str, Any] = {
        "entry": entry,
        "url": link("folder" if entry.is_folder else "file", sink, path=place),
        "is_hidden": entry.name.startswith(("_", ".")),
        "is_open": not entry.is_folder and OPEN in entry.name,
    }
    if not entry.is_folder and (read := names.read(entry.name)) is not None:
        partition, first, last = read
        row |= {"partition": partition, "first": first, "last": last, "offsets": last - first + 1}
    return row


def _crumbs(path: str) -> list[tuple[str, str]]:
    """Each folder of a path with the query that leads to it."""
    parts = path.split("/") if path else []
    return [(part, urlencode({"path": "/".join(parts[: number + 1])})) for number, part in enumerate(parts)]
