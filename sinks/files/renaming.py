"""Notices a sink that was given another name: it would store everything again beside what it stored by the first."""

from sinks.errors import Fatal
from sinks.files.layout import Layout
from sinks.files.store import FileStore


def check_not_renamed(client: FileStore, layout: Layout) -> None:
    """To be called where nothing is noted of a topic yet. Raises Fatal when another sink has stored it there."""
    folder = f"{layout.data}/_sink"
    topic = layout.partition.topic
    for name in client.names(folder):
        if name != layout.sink and client.exists(f"{folder}/{name}/{topic}"):
            raise Fatal(
                f"SINKS[{layout.sink!r}]: a sink named {name!r} has stored {topic} in {layout.data}, and all of "
                f"it would be stored there again: name the entry {name!r}, give it another path, or move "
                f"{folder}/{name}/{topic} and the files of the topic away"
            )
