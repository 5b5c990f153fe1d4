"""For probes and Prometheus: whether this process lives, whether it can take events, what all processes counted."""

from pathlib import Path

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST

from events.conf import events_settings
from events.delivery import Mode
from events.metrics import metrics_text
from events.process_collector import process_delivery

SPOOL_LIMIT = 0.9
"""The part of the spool that may be used; above it, other processes should get the requests."""


@csrf_exempt  # another method is told so
@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """200 as long as the process answers."""
    return JsonResponse({"status": "alive"})


@csrf_exempt  # another method is told so
@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 while events can be taken as the setting EVENTS_MODE promises, else 503; with what it depends on."""
    delivery = process_delivery()
    spool, is_away = delivery.spool, delivery.is_kafka_away
    reasons = []
    if delivery.is_draining:
        reasons.append("draining")
    if delivery.is_closed:
        reasons.append("the process ends")
    if spool.used > SPOOL_LIMIT * spool.max_bytes:
        reasons.append("the spool is nearly full")
    if is_away and Mode(events_settings().mode) is Mode.ACKNOWLEDGED:
        reasons.append("Kafka is away")
    return JsonResponse(
        {
            "status": "unavailable" if reasons else "ready",
            "reasons": reasons,
            "kafka": "away" if is_away else "there",
            "queue": delivery.counts().waiting,
            "aside": delivery.feeder.aside,
            "spool": {"bytes": spool.used, "max_bytes": spool.max_bytes},
        },
        status=503 if reasons else 200,
    )


@csrf_exempt  # another method is told so
@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """What the processes of this machine have counted, for Prometheus; 404 where the settings say so."""
    folder = events_settings().metrics_path
    if not folder:
        raise Http404
    return HttpResponse(metrics_text(Path(folder)), content_type=CONTENT_TYPE_LATEST)
