"""Makes what a sink stores in: an index template with mapping, settings and alias, and the index where it is one."""

from typing import Any

from elasticsearch import BadRequestError, Elasticsearch

from sinks.elasticsearch.client import check_server
from sinks.elasticsearch.config import ElasticsearchTarget
from sinks.elasticsearch.documents import document_of
from sinks.elasticsearch.names import IndexNames
from sinks.elasticsearch.notes import NOTES_FIELDS, NOTES_INDEX
from sinks.elasticsearch.outcomes import classified, translated
from worker.errors import Fatal

_PRIORITY = 200
_GC_DELETES = "1h"
"""How long the version of a deleted document is known, so that an older one, sent again, does not bring it back."""


@translated()
def prepare(client: Elasticsearch, target: ElasticsearchTarget, *, event: str) -> list[str]:
    """Makes or updates what is missing or differs; returns a line on each thing done. Repeating it does no harm.

    event: the kind of event, whose Document gives mapping and settings; "json" has none, Elasticsearch guesses then.
    Raises Fatal and Retriable.
    """
    check_server(client)
    done = []
    if not client.indices.exists(index=NOTES_INDEX):
        settings = {"number_of_shards": 1, "auto_expand_replicas": "0-1", "hidden": True}
        client.options(ignore_status=400).indices.create(  # two at a time
            index=NOTES_INDEX, settings=settings, mappings={"dynamic": "strict", "properties": NOTES_FIELDS}
        )
        done.append(f"index {NOTES_INDEX}: made")
    else:
        client.indices.put_mapping(index=NOTES_INDEX, properties=NOTES_FIELDS)
    names = target.names()
    document = document_of(event)
    declared: dict[str, Any] = document._index.to_dict() if document is not None else {}
    time = _time_field(target, declared)
    body = _template(target, declared, time)
    client.indices.put_index_template(
        name=names.template,
        index_patterns=[names.wildcard],
        # Of two that apply to an index, the one whose names begin in more detail.
        priority=_PRIORITY + len(names.pattern.partition("%")[0].rstrip("-._")),
        template=body,
        meta={"event": event},
    )
    done.append(f"index template {names.template}: put")
    if names.fixed is not None and not client.indices.exists(index=names.fixed):
        client.indices.create(index=names.fixed)
        return [*done, f"index {names.fixed}: made"]
    for index in indices(client, names):
        there = client.indices.get_mapping(index=index)[index]["mappings"].get("properties", {})
        # What type of field it is, and how it reads times, can't be changed.
        kept = {name: there[name] for name in time if name in there}
        properties = {name: field for name, field in body["mappings"]["properties"].items() if name not in kept}
        try:
            client.indices.put_mapping(index=index, body={**body["mappings"], "properties": properties})
        except BadRequestError as error:
            raise Fatal(
                f"the index {index} has another mapping than its event's, which can't be changed "
                f"(docs/elasticsearch.md, Another mapping): {classified(error)}"
            ) from error
        changeable = {key: value for key, value in body["settings"].items() if key != "number_of_shards"}
        client.indices.put_settings(index=index, settings=changeable)
        for alias in body["aliases"]:
            client.indices.put_alias(index=index, name=alias)
        found = client.indices.get_settings(index=index, name="index.number_of_shards")
        shards = int(found[index]["settings"]["index"]["number_of_shards"])
        fixed = f"; it keeps its {shards} shards where `shards` is {target.shards}" if shards != target.shards else ""
        done.append(f"index {index}: there already, mapping and settings up to date{fixed}")
        for name, field in kept.items():
            if field.get("type") != "date":
                done.append(f"index {index}: field {name} is no date there, so the console can't search it by time")
    return done


def indices(client: Elasticsearch, names: IndexNames) -> list[str]:
    """The indices that are there, by name. Raises elasticsearch.ApiError and TransportError."""
    found = client.indices.get(index=names.wildcard, filter_path="*.settings.index.uuid", expand_wildcards="all")
    return sorted(index for index in found if names.gives(index))


def _time_field(target: ElasticsearchTarget, declared: dict[str, Any]) -> dict[str, Any]:
    """The field with the documents' time, where their Document does not make it a date. declared: by the Document."""
    field = declared.get("mappings", {}).get("properties", {}).get(target.time, {})
    if target.time == "kafka" or field.get("type") == "date":
        return {}
    # A document whose field is no time is stored by Kafka's time, not refused.
    return {target.time: {"type": "date", "format": target.time_format, "ignore_malformed": True}}


def _template(target: ElasticsearchTarget, declared: dict[str, Any], time: dict[str, Any]) -> dict[str, Any]:
    mappings = declared.get("mappings", {})
    own = {"number_of_shards": target.shards, "number_of_replicas": target.replicas}
    settings = {**declared.get("settings", {}), **own}
    if target.refresh_interval:
        settings["refresh_interval"] = target.refresh_interval
    if target.tombstones == "delete":
        settings["gc_deletes"] = _GC_DELETES
    aliases: dict[str, Any] = {} if target.readers == target.index else {target.readers: {}}
    return {
        **declared,
        "mappings": {**mappings, "properties": {**mappings.get("properties", {}), **time}},
        "settings": settings,
        "aliases": aliases,
    }
