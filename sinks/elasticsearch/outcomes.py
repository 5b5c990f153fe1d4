"""What Elasticsearch's answers mean for the sink: done, try again, a dead letter, or stop."""

import enum
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import elastic_transport
import elasticsearch

from events.shortening import shortened
from worker.errors import Fatal, Retriable

TOO_LARGE = 413

_MAX_WORDS = 500
"""Characters of Elasticsearch's words that are kept: they may quote a whole document, whose dead letter has both."""

_BUSY = {408, 429, 500, 502, 503, 504}
"""Status codes, of a request or of one document, after which trying again helps."""

# These are looked for only where a reason begins, because what follows may quote the document.
_AGAIN = re.compile(
    # An operator has to release or make the index again; in between the sink waits.
    r"(?:cluster_block|index_closed|index_not_found|no_shard_available_action|unavailable_shards)_exception: |"
    # The cluster has no room for a further index.
    r"validation_exception: .*maximum (?:normal |frozen )?shards open|"
    r"illegal_argument_exception: Validation Failed: 1: this action would add \[\d+\] (?:total )?shards,"
)

_WRONG_SETUP = re.compile(
    r"illegal_argument_exception: (?:pipeline with id \[[^\]]*\] does not exist|no write index is defined for alias )"
)
"""Refused for what the index is, not for what the document is: every document would become a dead letter."""


class Outcome(enum.Enum):
    """What becomes of one document."""

    DONE = enum.auto()
    AGAIN = enum.auto()
    REFUSED = enum.auto()
    FATAL = enum.auto()


def outcome_of(status: int, reason: str, *, versioned: bool) -> Outcome:
    """What one item of a bulk answer means.

    reason: "type: text" as `reason_of` writes it; versioned: the request gave versions, so a conflict means that a
    newer document is there already.
    """
    if status < 300 or (status == 404 and not reason):  # what was to be deleted was not there
        return Outcome.DONE
    if status == 409 and versioned:
        return Outcome.DONE
    if status in _BUSY or _AGAIN.match(reason):
        return Outcome.AGAIN
    if status == TOO_LARGE or (status == 400 and not _WRONG_SETUP.match(reason)):
        return Outcome.REFUSED
    return Outcome.FATAL


def reason_of(error: dict[str, Any] | None) -> str:
    """Elasticsearch's own words; empty for no error."""
    if not error:
        return ""
    reason = f"{error.get('type', '')}: {shortened(str(error.get('reason', '')), _MAX_WORDS)}"
    cause = (error.get("caused_by") or {}).get("reason")
    return f"{reason} ({shortened(str(cause), _MAX_WORDS)})" if cause else reason


def classified(error: elasticsearch.ApiError | elasticsearch.TransportError) -> Retriable | Fatal:
    """What a failed request means: whether trying again can help."""
    if isinstance(error, elasticsearch.UnsupportedProductError):
        return Fatal(f"the server is not Elasticsearch: {error.message}")
    if isinstance(error, elasticsearch.ApiError):
        details = error.body.get("error") if isinstance(error.body, dict) else None
        reason = reason_of(details) if isinstance(details, dict) else str(error.message)
        text = f"Elasticsearch answers {error.status_code}: {reason}"
        outcome = outcome_of(error.status_code, reason, versioned=False)
        return Retriable(text, reason=str(error.status_code)) if outcome is Outcome.AGAIN else Fatal(text)
    if isinstance(error, elastic_transport.TlsError) and "CERTIFICATE_VERIFY_FAILED" in error.message:
        return Fatal(f"Elasticsearch's certificate is not trusted (is ca_certs right?): {error.message}")
    return Retriable(f"Elasticsearch: {error.message}", reason="unreachable")


@contextmanager
def translated() -> Iterator[None]:
    """Around requests, or as a decorator: raises Retriable and Fatal instead of the exceptions of the client."""
    try:
        yield
    except (elasticsearch.ApiError, elasticsearch.TransportError) as error:
        raise classified(error) from error
