"""Notices when a topic, a sink or a store is not the one that it was, so that what lies there would be misread."""

from sinks.files.layout import Layout
from sinks.files.store import FileReads
from worker.errors import Fatal


def check_same_topic(layout: Layout, *, known: str, now: str) -> None:
    """Raises Fatal when Kafka's own id of the topic is another one than the one that is noted in the store."""
    if now != known:
        raise Fatal(
            f"the topic {layout.partition.topic} was deleted and made again since {layout.data} was written "
            f"(its id was {known}, now it is {now}): its offsets begin anew, so its files would be taken for "
            f"the old ones; give this sink another path, or move the old files and {layout.topic} away"
        )


def check_not_renamed(client: FileReads, layout: Layout) -> None:
    """Raises Fatal when another sink has stored the topic here. Asked while nothing is noted of the topic yet."""
    folder = f"{layout.data}/_sink"
    topic = layout.partition.topic
    for name in client.names(folder):
        if name != layout.sink and topic in client.names(f"{folder}/{name}"):
            raise Fatal(
                f"SINKS[{layout.sink!r}]: a sink named {name!r} has stored {topic} in {layout.data}, and all of "
                f"it would be stored there again: name the entry {name!r}, give it another path, or move "
                f"{folder}/{name}/{topic} and the files of the topic away"
            )


def left_out(layout: Layout, group: str, *, stored: int, committed: int) -> Fatal:
    """What to raise when Kafka's committed offset is further than what lies in the store."""
    partition = layout.partition
    return Fatal(
        f"{partition}: Kafka says that group {group} has stored everything below offset "
        f"{committed}, but what lies in {layout.data} ends at {stored}. Was the store put back to an "
        "earlier state, or do two deployments share the group? To store what Kafka still has from there "
        f"on: manage.py rewind --sink {layout.sink} --partition {partition} --to {stored}; to leave it out: "
        f"the same with --to {committed} --skip"
    )
