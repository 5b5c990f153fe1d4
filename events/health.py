"""For probes and Prometheus: whether this process lives, whether it can take events, what all processes counted.

Load balancers, Kubernetes and Prometheus ask by the host's address and in plain HTTP, whatever the site is called:
`ProbeMiddleware` answers them before the host is checked and before plain HTTP is redirected.
"""

from collections.abc import Callable
from pathlib import Path

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST

from events.conf import events_settings
from events.delivery import Mode
from events.metrics import metrics_text
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
    delivery = process_delivery()
    spool, is_away = delivery.spool, delivery.is_kafka_away
    mode = Mode(events_settings().mode)
    needs_spool = mode is Mode.SPOOLED or (mode is Mode.ACCEPTED and delivery.is_spooling)
    reasons = []
    if delivery.is_draining:
        reasons.append("draining")
    if delivery.is_closed:
        reasons.append("the process ends")
    if spool.used > SPOOL_LIMIT * spool.max_bytes:
        reasons.append("the spool is nearly full")
    if needs_spool and not spool.can_be_written():
        reasons.append("the spool can't be written")
    if is_away and mode is Mode.ACKNOWLEDGED:
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


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """What the processes of this machine have counted, for Prometheus; 404 where the settings say so."""
    folder = events_settings().metrics_path
    if not folder:
        return HttpResponse("EVENTS_METRICS_PATH is empty: nothing is counted.\n", "text/plain", status=404)
    return HttpResponse(metrics_text(Path(folder)), content_type=CONTENT_TYPE_LATEST)


PROBES = {"/healthz": healthz, "/readyz": readyz, "/metrics": metrics}


class ProbeMiddleware:
    """Answers the probes; stands before all middleware that looks at the host, the protocol or a session."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """A probe's answer, else that of what stands behind."""
        return PROBES.get(request.path_info, self._get_response)(request)
