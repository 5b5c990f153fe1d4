"""Settings of a deployment: secrets and hosts must be given, cookies are for HTTPS only."""

from django.core.exceptions import ImproperlyConfigured

from settings.base import *
from settings.base import ALLOWED_HOSTS, SECRET_KEY, env

if not SECRET_KEY:
    raise ImproperlyConfigured("SECRET_KEY is not set: give a long random string in the environment or in .env")
if not ALLOWED_HOSTS:
    raise ImproperlyConfigured(
        "ALLOWED_HOSTS is not set: name the hosts that this site answers, for example shop.example"
    )

HTTPS: bool = env.bool("HTTPS", True)
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS: int = env.int("SECURE_HSTS_SECONDS", 3600 if HTTPS else 0)
# Behind a proxy that ends TLS and sets X-Forwarded-Proto.
if env.bool("BEHIND_TLS_PROXY", False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
