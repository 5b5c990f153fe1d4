"""`manage.py verify_es`: proves that every Kafka record is a document once."""

from collections.abc import Callable
from typing import cast

import elasticsearch

from sinks.clusters import elasticsearch_cluster
from sinks.config import SinkConfig
from sinks.dead_letters.log import letter_log
from sinks.elasticsearch.client import connect
from sinks.elasticsearch.config import ElasticsearchTarget
from sinks.elasticsearch.outcomes import classified
from sinks.elasticsearch.retention import RetentionNote
from sinks.elasticsearch.verify import Verifier
from sinks.log_reader import LogReader
from sinks.management.exit_codes import CARRIED_OUT_OR_NOT
from sinks.management.verify import Counts, Findings, VerifyCommand
from sinks.records import Partition


class Command(VerifyCommand):
    """Compares a sink's documents with what Kafka still has."""

    help = (
        "Compares the documents of an Elasticsearch sink with the records in Kafka and prints gaps, repeats and "
        "differences. Exit code 0: every record is a document once, became a dead letter, or was deleted by "
        "delete_old_indices; 1: not, or nothing was committed of what Kafka has; "
        f"{CARRIED_OUT_OR_NOT}"
    )
    kind = "elasticsearch"
    default = "elasticsearch"

    def begin(self, sink: SinkConfig, reader: LogReader) -> Callable[[Partition, int, int], tuple[Counts, Findings]]:
        """Reads the dead letters: what Elasticsearch has refused is known from them alone."""
        target = cast(ElasticsearchTarget, sink.target)
        client = connect(elasticsearch_cluster(target.cluster), connections=1)
        actions, check = target.actions(), sink.check()
        try:
            deleted_before = RetentionNote(client, actions.names.pattern).deleted_before()
        except (elasticsearch.ApiError, elasticsearch.TransportError) as error:
            raise classified(error) from error
        dead = letter_log(sink, reader).origins

        def compare(partition: Partition, first: int, end: int) -> tuple[Counts, Findings]:
            verifier = Verifier(
                client,
                actions,
                check,
                partition=partition,
                dead_letters=dead.get(partition, ()),
                deleted_before=deleted_before,
            )
            return verifier, verifier.findings

        return compare
