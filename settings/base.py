"""Settings shared by every environment; each value can be given by an environment variable or in `.env`.

docs/configuration.md describes every variable read here (a test keeps it complete).
"""

import logging
import os
import tomllib
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

from django.utils.translation import gettext_lazy as _
from corsheaders.defaults import default_headers
from environs import EnvError

from settings.env import Variables

BASE_DIR = Path(__file__).resolve().parent.parent

VERSION: str = tomllib.loads((BASE_DIR / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

env = Variables(Path(os.environ.get("ENV_FILE", BASE_DIR / ".env")))

# --- Django ---------------------------------------------------------------------------------------------

SECRET_KEY: str = env.whole("SECRET_KEY") or ""
DEBUG = False
ALLOWED_HOSTS: list[str] = env.texts("ALLOWED_HOSTS", [])
CSRF_TRUSTED_ORIGINS: list[str] = env.texts("CSRF_TRUSTED_ORIGINS", [])

INSTALLED_APPS = [
    "events",
    "sinks",
    "sources",
    "streams",
    "connectors",
    "pipeline",
    "pipeline.console",
    "django_elasticsearch_dsl",
    "rest_framework",
    "rest_framework.authtoken",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "corsheaders",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]

MIDDLEWARE = [
    "events.health.ProbeMiddleware",  # first: probes ask by address and in plain HTTP
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "pipeline.budget.BudgetMiddleware",  # before what asks the database
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "pipeline.away.AwayMiddleware",
]

ROOT_URLCONF = "pipeline.urls"
WSGI_APPLICATION = "pipeline.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # The console's templates lie beside the code that uses them: "console/topics/list.html" is below pipeline/.
        "DIRS": [BASE_DIR / "templates", BASE_DIR / "pipeline"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# Users, sessions, permissions, and how the sinks are doing: events never reach SQL.
DATABASES = {"default": env.database("DATABASE_URL", f"sqlite:///{BASE_DIR / '.devstack' / 'admin.sqlite3'}")}
DATABASES |= env.databases("DATABASES")  # those that sinks store in
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("ko", _("Korean"))]
LOCALE_PATHS = [BASE_DIR / "pipeline" / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE: str = env.str("TIME_ZONE", "UTC")
if TIME_ZONE not in available_timezones():
    raise EnvError(f'Environment variable "TIME_ZONE" invalid: {TIME_ZONE!r} is no IANA time zone')

STATIC_URL = "static/"
# Static files are served from the apps' own folders: no collectstatic step between a change and the page.
WHITENOISE_USE_FINDERS = True

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    # A view that says nothing is closed; those that are public say so.
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.SessionAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Web activity collector",
    "DESCRIPTION": "Takes events of web pages and servers on their way to Kafka.",
    "VERSION": VERSION,
    "OAS_VERSION": "3.1.1",
    "POSTPROCESSING_HOOKS": ["events.openapi.add_kinds"],
}

LOG_LEVEL: str = env.str("LOG_LEVEL", "INFO").upper()
if LOG_LEVEL not in logging.getLevelNamesMapping():
    raise EnvError(f'Environment variable "LOG_LEVEL" invalid: {LOG_LEVEL!r} is no level such as INFO or DEBUG')
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"repeats": {"()": "kafka_client.log.Repeats"}},
    "formatters": {"line": {"format": "%(asctime)s %(levelname)-7s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        "events": {"level": LOG_LEVEL},
        "kafka_client": {"level": LOG_LEVEL},
        "sinks": {"level": LOG_LEVEL},
        "sources": {"level": LOG_LEVEL},
        "streams": {"level": LOG_LEVEL},
        "connectors": {"level": LOG_LEVEL},
        "worker": {"level": LOG_LEVEL},
        "pipeline": {"level": LOG_LEVEL},
        # While something is away, Django has a line for each request that is answered 503, those of probes included.
        "django.request": {"filters": ["repeats"]},
        # The hdfs client reports an error that it also raises; the sink logs it once, with partition and offsets.
        "hdfs": {"level": "CRITICAL"},
    },
}

# --- Servers, each a dict of named clusters as in DATABASES ----------------------------------------------

# Every librdkafka option may be given under its own name, for example
# KAFKA_OPTIONS={"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN", ...}
KAFKA: dict[str, dict[str, Any]] = {
    "default": {
        "bootstrap.servers": env.str("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"),
        **env.json_object("KAFKA_OPTIONS"),
    },
}

HDFS: dict[str, dict[str, Any]] = {
    "default": {
        # Several NameNodes (high availability) are separated by semicolons.
        "url": env.whole("HDFS_URL", "http://localhost:9870"),
        "user": env.str("HDFS_USER", "hdfs"),
        "timeout_seconds": env.float("HDFS_TIMEOUT_SECONDS", 30.0),
        "auth": env.str("HDFS_AUTH", "insecure"),
        "token": env.whole("HDFS_TOKEN"),
        "ca_certs": env.str("HDFS_CA_CERTS", None),
    },
}

# Stores with the interface of S3, for example {"default": {"endpoint_url": "http://s3:8333", "path_style": true}}.
# boto3's own chain finds the credentials where an entry has none.
S3: dict[str, dict[str, Any]] = {"default": {}, **env.json_object("S3")}

_elasticsearch_auth: dict[str, Any] = {
    "api_key": env.whole("ELASTICSEARCH_API_KEY"),
    "basic_auth": env.user_and_password("ELASTICSEARCH_BASIC_AUTH"),
    "ca_certs": env.str("ELASTICSEARCH_CA_CERTS", None),
}
# Passed to elasticsearch.Elasticsearch as they are.
ELASTICSEARCH_DSL: dict[str, dict[str, Any]] = {
    "default": {
        "hosts": env.texts("ELASTICSEARCH_URL", ["http://localhost:9200"]),
        "request_timeout": env.float("ELASTICSEARCH_TIMEOUT_SECONDS", 30.0),
        **{key: value for key, value in _elasticsearch_auth.items() if value},
    },
}
# Documents come from Kafka, never from saving a model.
ELASTICSEARCH_DSL_AUTOSYNC = False
ELASTICSEARCH_DSL_AUTO_REFRESH = False

# --- Collecting -------------------------------------------------------------------------------------------

EVENTS: dict[str, Any] = {
    "kafka": "default",
    "topic": env.str("EVENTS_TOPIC", "select-color"),
    "topic_partitions": env.int("EVENTS_TOPIC_PARTITIONS", 3),
    "topic_replication": env.int("EVENTS_TOPIC_REPLICATION", 1),
    "colors": env.texts("EVENTS_COLORS", ["red", "yellow", "green", "blue"]),
    "max_body_bytes": env.int("EVENTS_MAX_BODY_BYTES", 64 * 1024),
    "max_batch_bytes": env.int("EVENTS_MAX_BATCH_BYTES", 1024 * 1024),
    "max_batch_events": env.int("EVENTS_MAX_BATCH_EVENTS", 1000),
    "max_event_bytes": env.int("EVENTS_MAX_EVENT_BYTES", 32 * 1024),
    "mode": env.str("EVENTS_MODE", "accepted"),
    "acknowledge_seconds": env.float("EVENTS_ACKNOWLEDGE_SECONDS", 5.0),
    "lane": env.bool("EVENTS_LANE", True),
    "privacy_signals": env.bool("EVENTS_PRIVACY_SIGNALS", False),
    "durable": env.bool("EVENTS_DURABLE", False),
    "spool": {
        "path": env.str("EVENTS_SPOOL_PATH", str(BASE_DIR / ".devstack" / "spool")),
        "max_bytes": env.int("EVENTS_SPOOL_MAX_BYTES", 1024**3),
        "segment_bytes": env.int("EVENTS_SPOOL_SEGMENT_BYTES", 16 * 1024 * 1024),
        "fsync": env.str("EVENTS_SPOOL_FSYNC", "interval"),
        "fsync_seconds": env.float("EVENTS_SPOOL_FSYNC_SECONDS", 1.0),
    },
    # Copies of rejected events, where a topic is named.
    "bad_events": {
        "topic": env.str("EVENTS_BAD_TOPIC", ""),
        "per_second": env.float("EVENTS_BAD_PER_SECOND", 10.0),
        "max_bytes": env.int("EVENTS_BAD_MAX_BYTES", 8 * 1024),
    },
    "metrics_path": env.str("EVENTS_METRICS_PATH", str(BASE_DIR / ".devstack" / "metrics")),
    "drain_seconds": env.float("EVENTS_DRAIN_SECONDS", 5.0),
    # Further kinds of events, for example {"page-view": {"type": "shop.events.PageView", "topic": "page-view"}}.
    "kinds": env.json_object("EVENTS_KINDS"),
    # librdkafka options of the producer alone, for example {"acks": "all", "compression.type": "lz4"}.
    "producer": env.json_object("EVENTS_PRODUCER_OPTIONS"),
    "kafka_away_seconds": env.float("EVENTS_KAFKA_AWAY_SECONDS", 3.0),
    "flush_seconds": env.float("EVENTS_FLUSH_SECONDS", 10.0),
}

# The endpoint answers any origin unless origins are named.
CORS_URLS_REGEX = r"^/api/"
CORS_ALLOWED_ORIGINS: list[str] = env.texts("EVENTS_CORS_ORIGINS", [])
CORS_ALLOW_ALL_ORIGINS = not CORS_ALLOWED_ORIGINS
CORS_ALLOW_METHODS = ["GET", "POST", "OPTIONS"]
# A site's tracing library adds headers to all requests of its pages. A preflight that refuses one holds up all events.
CORS_ALLOW_HEADERS = [
    *default_headers,
    "content-encoding",
    *("traceparent", "tracestate", "baggage", "sentry-trace", "newrelic", "request-id", "request-context"),
    *("b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags"),
    *("x-datadog-trace-id", "x-datadog-parent-id", "x-datadog-origin", "x-datadog-sampling-priority"),
    *("x-datadog-sampled", "x-datadog-tags", "x-instana-t", "x-instana-s", "x-instana-l", "elastic-apm-traceparent"),
    *("uber-trace-id", "sw8", "sw8-correlation", "x-amzn-trace-id", "x-cloud-trace-context"),
    *("x-request-id", "x-correlation-id"),
    "*",  # any other, for browsers since 2022
]
CORS_EXPOSE_HEADERS = ["Retry-After"]  # for collect.js on other sites

# What the admin's statistics read at most; docs/settings.md lists the keys.
CONSOLE: dict[str, Any] = env.json_object("CONSOLE")

# What one process of the website has read for the console, for its other processes.
CACHES: dict[str, dict[str, Any]] = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
if console_cache := env.str("CONSOLE_CACHE_PATH", str(BASE_DIR / ".devstack" / "console")):
    CACHES["console"] = {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": console_cache}

# --- Sinks ------------------------------------------------------------------------------------------------

# A sink is an entry here; the keys are described in docs/settings.md. The variable SINKS (a JSON object)
# adds entries, replaces one of these by its name, or removes one that it gives as null.
SINKS: dict[str, dict[str, Any]] = {
    "hdfs": {
        "kind": "hdfs",
        "topics": [EVENTS["topic"]],
        "group": "sink-hdfs",
        "tasks": env.int("HDFS_SINK_TASKS", 3),
        "metrics_port": env.int("HDFS_SINK_METRICS_PORT", None),
        "metrics_host": env.str("SINK_METRICS_HOST", "127.0.0.1"),
        "target": {"path": env.str("HDFS_SINK_PATH", "/data/color")},
        "options": {
            "flush_records": env.int("HDFS_SINK_FLUSH_RECORDS", 10),
            "flush_seconds": env.float("HDFS_SINK_FLUSH_SECONDS", 60.0),
        },
    },
    "elasticsearch": {
        "kind": "elasticsearch",
        "topics": [EVENTS["topic"]],
        "group": "sink-elasticsearch",
        "tasks": env.int("ES_SINK_TASKS", 3),
        "metrics_port": env.int("ES_SINK_METRICS_PORT", None),
        "metrics_host": env.str("SINK_METRICS_HOST", "127.0.0.1"),
        "target": {
            "index": env.str("ES_SINK_INDEX", "select-color"),
            "shards": env.int("ES_SINK_SHARDS", 1),
            "replicas": env.int("ES_SINK_REPLICAS", 1),
            "user_agent_field": env.str("ES_SINK_USER_AGENT_FIELD", ""),
        },
        "options": {
            "flush_records": env.int("ES_SINK_FLUSH_RECORDS", 2000),
            "flush_seconds": env.float("ES_SINK_FLUSH_SECONDS", 1.0),
        },
    },
    **env.json_object("SINKS"),
}
SINKS = {name: entry for name, entry in SINKS.items() if entry is not None}

# --- Sources ----------------------------------------------------------------------------------------------

# A source is an entry here; the keys are described in docs/settings.md.
SOURCES: dict[str, dict[str, Any]] = env.json_object("SOURCES")

# --- Streams ----------------------------------------------------------------------------------------------

# A stream is an entry here, for example {"activity-counts": {}}; the keys are described in docs/settings.md.
STREAMS: dict[str, dict[str, Any]] = env.json_object("STREAMS")
STREAMS_STATE_PATH: str = env.str("STREAMS_STATE_PATH", str(BASE_DIR / ".devstack" / "streams"))

# --- Connectors -------------------------------------------------------------------------------------------

# Where the REST API of connectors is, and how workers run them; docs/settings.md lists the keys.
CONNECTORS: dict[str, Any] = env.json_object("CONNECTORS")

# The Kafka Connects that the console shows, for example {"here": {}, "old": {"url": "http://connect:8083"}}.
# One without a URL is that of this site.
CONNECT: dict[str, dict[str, Any]] = env.json_object("CONNECT")
