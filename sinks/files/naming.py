"""Into which folder a record goes, and how files are named."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import takewhile
from string import Formatter
from typing import Any

import msgspec

from sinks.files.layout import OPEN, flat
from sinks.records import Partition, Record
from sinks.times import Unread, moment_of, no_unread, time_zone

NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
"""What Hive calls the folder of rows without a value."""

_FILE_KEYS = {"topic", "partition", "start", "end", "ext"}

# What Hive escapes in a folder's name (FileUtils.escapePathName), and a leading character that would hide it.
_UNSAFE = re.compile(r"""[\x00-\x1f\x7f"#%'*/:=?\\{}\[\]^]|^[._]""")

# A character of a name in which what is unsafe was escaped.
_CHARACTER = re.compile(r"%..|.", re.DOTALL)

# What a store does not take, or stores otherwise than it was written.
_NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f:]")

_MAX_VALUE = 48
"""The longest name that a value becomes, in bytes of a commit record's file (`flat`)."""

_LONG_DAY = datetime(2026, 9, 30, 22, 22, 22, 222222, UTC)
"""A Wednesday in September: no day is longer when it is written out."""


class Folders:
    """Gives the folder of each record, below the data folder.

    template: folders with strftime codes for the record's time and `{field}` for a field of the event, for example
    `dt=%Y-%m-%d/hour=%H` or `color={colorName}`; empty for no folders. time: "kafka", or the field that holds the time
    (where it holds none, Kafka's is taken); zone: of the folders' time. Raises ValueError.

    Where a record goes depends on the record alone, so it goes there again when it is read again.
    """

    def __init__(self, template: str, *, time: str, zone: str) -> None:
        if template.startswith("/") or any(part in ("", ".", "..") for part in template.split("/") if template):
            raise ValueError(f"folders {template!r} must be a relative path without empty parts")
        self._parts = [_parse("folders", part) for part in template.split("/") if part]
        self._has_time = "%" in template
        self.time = time
        self._zone = time_zone("time_zone", zone)
        for name in self._names(_LONG_DAY, lambda field: "x"):
            if _NOT_IN_NAMES.search(name) or name.startswith((".", "_")):
                raise ValueError(
                    f"folders {template!r} must be names that readers see and every store takes: no colon, no control "
                    "character, no leading _ or ."
                )

    @property
    def is_flat(self) -> bool:
        """Whether all records go into the data folder itself."""
        return not self._parts

    @property
    def keys(self) -> list[str]:
        """The names before an equals sign, which readers of Hive's layout take for columns."""
        texts = [part[0][0] for part in self._parts]
        return [text.partition("=")[0] for text in texts if "=" in text]

    def of(self, record: Record, unread: Unread = no_unread) -> str:
        """The folder of a record that is a valid event; empty for none. unread: called with a time that is none."""
        if self.is_flat:
            return ""
        event = msgspec.json.decode(record.value or b"{}", type=dict[str, msgspec.Raw])
        moment = self._moment(record, event, unread) if self._has_time else _LONG_DAY
        return "/".join(map(_visible, self._names(moment, lambda field: _name_of(_decoded(event.get(field))))))

    @property
    def longest(self) -> str:
        """As long as the folder of a record can be."""
        return "/".join(self._names(_LONG_DAY, lambda field: "x" * _MAX_VALUE))

    def _names(self, moment: datetime, value: Callable[[str], str]) -> Iterator[str]:
        """The name of each folder in another. value: gives what stands for a field."""
        for part in self._parts:
            yield "".join(self._text(text, moment) + (value(field) if field else "") for text, field in part)

    def _moment(self, record: Record, event: dict[str, msgspec.Raw], unread: Unread) -> datetime:
        value = _decoded(event.get(self.time)) if self.time != "kafka" else None
        if (moment := moment_of(value)) is not None:
            return moment.astimezone(self._zone)
        if value is not None:
            unread(value)
        try:
            return datetime.fromtimestamp(record.timestamp / 1000, UTC).astimezone(self._zone)
        except (ValueError, OverflowError, OSError):  # a time that no calendar has: as good as none
            return datetime.fromtimestamp(0, self._zone)

    def _text(self, text: str, moment: datetime) -> str:
        return moment.strftime(text) if self._has_time else text


def _decoded(raw: msgspec.Raw | None) -> Any:
    try:
        return msgspec.json.decode(raw) if raw is not None else None
    except ValueError:  # a number that Python can't hold stands as it is written
        return bytes(raw or b"").decode()


def _visible(name: str) -> str:
    """A folder's name of which readers do not think that it is hidden."""
    return f"%{ord(name[0]):02X}{name[1:]}" if name[:1] in ("_", ".") else name


def _name_of(value: Any) -> str:
    """A value as a folder's name. A long name is cut, and a hash keeps it different from others."""
    if value is None or value == "":
        return NO_VALUE
    # WebHDFS stores a name in this form, whatever it was given.
    text = unicodedata.normalize("NFC", value if isinstance(value, str) else msgspec.json.encode(value).decode())
    escaped = _UNSAFE.sub(lambda match: f"%{ord(match[0]):02X}", text[: _MAX_VALUE + 1])
    if _flat_length(escaped) <= _MAX_VALUE:
        return escaped
    end = f"~{blake2b(text.encode(), digest_size=6).hexdigest()}"
    room = _MAX_VALUE - len(end)
    name = ""
    for character in _CHARACTER.findall(escaped):
        room -= _flat_length(character)
        if room < 0:
            break
        name += character
    return name + end


def _flat_length(name: str) -> int:
    return len(flat(name).encode())


def _parse(key: str, template: str) -> list[tuple[str, str | None]]:
    """The texts of a template, each with the field after it. Raises ValueError naming the key."""
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"{key} {template!r}: {error}") from error
    for _, field, spec, conversion in parts:
        if field is not None and (spec or conversion or not field or field.isdigit()):
            raise ValueError(f"{key} {template!r}: a field is written as its name in braces, with nothing else")
    if unicodedata.normalize("NFC", template) != template:
        raise ValueError(f"{key} {template!r} must be written in composed characters (Unicode NFC)")
    return [(text, field) for text, field, _, _ in parts]


def _joined(parts: Sequence[tuple[str, str | None]]) -> str:
    """The inverse of _parse."""
    texts = (text.replace("{", "{{").replace("}", "}}") + f"{{{field}}}" for text, field in parts)
    return "".join(texts)


_PLACES = [(Partition(topic, number), 3, 4) for topic in ("t", "t1", "t-1", "1") for number in (2, 12)]
"""A template of file names must give each of these another name."""


class FileNames:
    """Names of files, made and read by one template.

    template: with {topic}, {partition}, {start}, {end} and {ext}, of which only {ext} can be left out, or ValueError.

    generation: names of a later generation than 0 have it before the extension, so that no name of an earlier one is
    ever given again; a store needs that in which a late request can remove a file (S3).
    """

    def __init__(self, template: str, extension: str, generation: int = 0) -> None:
        parts = _parse("file_name", template)
        fields = [field for _, field in parts if field is not None]
        if unknown := set(fields) - _FILE_KEYS:
            raise ValueError(f"file_name {template!r} has unknown keys: {', '.join(sorted(unknown))}")
        if missing := _FILE_KEYS - {"ext"} - set(fields):
            raise ValueError(f"file_name {template!r} is not unique without {', '.join(sorted(missing))}")
        if repeated := {field for field in fields if fields.count(field) > 1}:
            raise ValueError(f"file_name {template!r} has a key twice: {', '.join(sorted(repeated))}")
        if "/" in template or template[0] in "._" or _NOT_IN_NAMES.search(template):
            raise ValueError(
                f"file_name {template!r} must be a name that readers see and every store takes: no slash, no colon, no "
                "control character, no leading _ or ."
            )
        if OPEN in template:
            raise ValueError(f"file_name {template!r} must not look like that of a file that is still written ({OPEN})")
        patterns = {"topic": r"(?P<topic>[a-zA-Z0-9._-]+)", "partition": r"(?P<partition>\d+)"}
        patterns |= {key: rf"(?P<{key}>\d{{20}})" for key in ("start", "end")} | {
            "ext": rf"(?:r(?P<generation>\d+)\.)?{re.escape(extension)}"
        }
        self._template = template
        self._extension = extension
        self._generation = generation
        before = list(takewhile(lambda part: part[1] != "start", parts))
        is_ordered = {field for _, field in before} == {"topic", "partition"}
        self._head = _joined(parts[: len(before) + 1]) if is_ordered else None
        self._pattern = re.compile("".join(re.escape(text) + patterns.get(field or "", "") for text, field in parts))
        for place in _PLACES:
            if self.read(self.make(*place)) != place:
                raise ValueError(f"file_name {template!r} is not unique: put something between topic and partition")

    def make(self, partition: Partition, start: int, end: int) -> str:
        """The name of the file that holds the records of these offsets."""
        topic, number = partition
        first, last = f"{start:020d}", f"{end:020d}"
        extension = f"r{self._generation}.{self._extension}" if self._generation else self._extension
        return self._template.format(topic=topic, partition=number, start=first, end=last, ext=extension)

    def head(self, partition: Partition, start: int) -> str | None:
        """What a file's name begins with, up to the first offset; None where a partition's names do not lie together in
        the order of these.

        It sorts before the name of each file of the partition that begins there or later, and after all others of it.
        """
        if self._head is None:
            return None
        return self._head.format(topic=partition.topic, partition=partition.number, start=f"{start:020d}")

    @staticmethod
    def make_open(partition: Partition, start: int, generation: int = 0) -> str:
        """The name of a file that is still written, by its first offset; of its own for each generation."""
        return f"{partition}-{start:020d}{f'.r{generation}' if generation else ''}{OPEN}"

    def of(self, extension: str) -> "FileNames":
        """Those of files in another format."""
        return FileNames(self._template, extension, self._generation)

    def of_generation(self, generation: int) -> "FileNames":
        """Those of files of another generation."""
        return FileNames(self._template, self._extension, generation)

    def generation(self, name: str) -> int:
        """The generation of a name of this sink; 0 for any other name."""
        match = self._pattern.fullmatch(name)
        return int(match["generation"] or 0) if match and "{ext}" in self._template else 0

    def read(self, name: str) -> tuple[Partition, int, int] | None:
        """Partition, first and last offset of a name; None for a file that is none of this sink's."""
        match = self._pattern.fullmatch(name)
        if match is None:
            return None
        return Partition(match["topic"], int(match["partition"])), int(match["start"]), int(match["end"])
