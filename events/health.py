"""For probes: whether this process lives, and whether it can take events."""

from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from events.conf import events_settings
from events.delivery import Mode
from events.process_collector import process_delivery

SPOOL_LIMIT = 0.9
"""The part of the spool that may be used; above it, other processes should get the requests."""


@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """200 as long as the process answers."""
    return JsonResponse({"status": "alive"})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 while events can be taken as the setting EVENTS_MODE promises, else 503; with what it depends on."""
    state = process_delivery().state()
    reasons = []
    if state.is_closed:
        reasons.append("the process ends")
    if state.spool_bytes > SPOOL_LIMIT * state.spool_max_bytes:
        reasons.append("the spool is nearly full")
    if state.is_kafka_away and Mode(events_settings().mode) is Mode.ACKNOWLEDGED:
        reasons.append("Kafka is away")
    return JsonResponse(
        {
            "status": "unavailable" if reasons else "ready",
            "reasons": reasons,
            "kafka": "away" if state.is_kafka_away else "there",
            "queue": state.waiting,
            "spool": {"bytes": state.spool_bytes, "max_bytes": state.spool_max_bytes},
        },
        status=503 if reasons else 200,
    )
