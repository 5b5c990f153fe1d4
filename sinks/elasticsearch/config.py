"""Where an Elasticsearch sink stores."""

from typing import Annotated

import msgspec
from msgspec import Meta


class ElasticsearchTarget(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="elasticsearch",
):
    """The `target` of an Elasticsearch sink."""

    # Elasticsearch's own rule for names: https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-indices-create
    index: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,200}$", description="The index of its documents.")]
    shards: Annotated[int, Meta(ge=1, le=1024, description="Shards of an index that setup_pipeline makes.")] = 1
    replicas: Annotated[
        int, Meta(ge=0, le=10, description="Copies of each shard; with 0, a lost node loses documents.")
    ] = 1
    cluster: Annotated[str, Meta(description="The cluster of settings.ELASTICSEARCH_DSL.")] = "default"

    def __str__(self) -> str:
        return f"Elasticsearch ({self.cluster}) {self.index}"
