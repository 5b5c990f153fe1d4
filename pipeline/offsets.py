"""The topics that the pipeline uses, and one read of their offsets for all pages that ask for them again and again."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from django.utils import translation
from django.utils.translation import get_language

from events.conf import events_settings
from pipeline.conf import console_settings
from pipeline.errors import ServerError
from pipeline.guard import guard
from pipeline.kafka_reads import ClusterOffsets, read_offsets, server_name
from pipeline.live import Answer, Question, live_reads
from sinks.config import SinkConfig
from sinks.registry import sinks


class Reader(NamedTuple):
    """A consumer group that is no sink's. name: for people; kafka: the cluster."""

    name: str
    group: str
    kafka: str


@dataclass(frozen=True)
class PipelineTopic:
    """A topic that the pipeline uses, and the sinks that read it; dead letters have none."""

    cluster: str
    name: str
    is_dead_letters: bool
    sinks: tuple[SinkConfig | Reader, ...]


def pipeline_topics(configs: Iterable[SinkConfig]) -> list[PipelineTopic]:
    """The topic of events, those that sinks read, then their dead letters; each once."""
    conf = events_settings()
    readers: dict[tuple[str, str], list[SinkConfig]] = {(conf.kafka, conf.topic): []}
    dead: dict[tuple[str, str], None] = {}
    for config in configs:
        for topic in config.topics:
            readers.setdefault((config.kafka, topic), []).append(config)
            dead[config.kafka, config.dead_letters_of(topic)] = None
    return [
        *(PipelineTopic(cluster, name, (cluster, name) in dead, tuple(by)) for (cluster, name), by in readers.items()),
        *(PipelineTopic(cluster, name, True, ()) for cluster, name in dead if (cluster, name) not in readers),
    ]


def shared_offsets(*, wait_seconds: float | None = None) -> dict[str, ClusterOffsets | ServerError | None]:
    """By cluster the offsets of all topics and groups of the pipeline, or why they are not known.

    None for a cluster that is still being asked after so many seconds; without them, after those of a page, and where
    it was not asked a moment ago either.
    """
    language = get_language()
    topics: dict[str, list[PipelineTopic]] = {}
    for topic in pipeline_topics(sinks().values()):
        topics.setdefault(topic.cluster, []).append(topic)

    def read(cluster: str) -> Answer:
        with translation.override(language):
            return {"offsets": offsets_in(cluster, topics[cluster])}

    questions = {
        cluster: Question(
            ("offsets", cluster, language, tuple((topic.name, *(sink.group for sink in topic.sinks)) for topic in own)),
            server_name(cluster),
            partial(read, cluster),
        )
        for cluster, own in topics.items()
    }
    seconds = console_settings().wait_seconds if wait_seconds is None else wait_seconds
    answers = live_reads().answers(questions, wait_seconds=seconds, or_before=wait_seconds is None)
    return {cluster: _found(answer) for cluster, answer in answers.items()}


def _found(answer: Answer | None) -> ClusterOffsets | ServerError | None:
    if answer is None:
        return None
    if "error" in answer:
        return ServerError(**answer["error"])
    offsets: ClusterOffsets = answer["offsets"]
    return offsets


def offsets_in(cluster: str, topics: Iterable[PipelineTopic]) -> ClusterOffsets:
    """The offsets of topics of one cluster, and of the groups that read them, now. Raises ServerError."""
    groups: dict[str, list[str]] = {}  # two sinks may not share one, but a typing error is no crash
    for topic in topics:
        for sink in topic.sinks:
            groups.setdefault(sink.group, []).append(topic.name)
    with guard().read(server_name(cluster)):
        return read_offsets(
            cluster,
            topics=[topic.name for topic in topics],
            groups=groups,
            timeout=console_settings().kafka_timeout_seconds,
        )
