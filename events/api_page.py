"""The page on which people read the OpenAPI schema and try the endpoint."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

# Swagger UI sets styles in elements' attributes, and its images are data: URLs.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
"""Scripts of this site alone, nothing of any other site."""


@require_safe
def api_page(request: HttpRequest) -> HttpResponse:
    """Swagger UI on /api/schema, all of it from this site's static files."""
    response = render(request, "events/api.html")
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    return response
