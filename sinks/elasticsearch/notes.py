"""The hidden index in which sinks and their commands note what they must not forget."""

NOTES_INDEX = "sink-topics"
"""A document for each topic and index pattern (`topics`), and one for each pattern with retention (`retention`)."""

NOTES_FIELDS = {**{name: {"type": "keyword"} for name in ("index", "topic", "id")}, "before": {"type": "date"}}
