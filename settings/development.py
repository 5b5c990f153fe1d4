"""Settings of a developer's machine: everything on localhost, with the local servers of devstack/."""

from settings.base import *
from settings.base import (
    ALLOWED_HOSTS,
    BASE_DIR,
    CONNECTORS,
    DATABASES,
    ELASTICSEARCH_DSL,
    HDFS,
    INSTALLED_APPS,
    KAFKA,
    SECRET_KEY,
    SINKS,
    env,
)

SECRET_KEY = SECRET_KEY or "development-only-not-a-secret"
DEBUG = env.bool("DEBUG", False)
ALLOWED_HOSTS = ALLOWED_HOSTS or ["localhost", "127.0.0.1", "[::1]"]

INSTALLED_APPS = [*INSTALLED_APPS, "devstack"]

# The data hub of docs/data-hub.md: further servers, on their usual ports, and a worker that runs connectors.
_hub = env.bool("DEVSTACK_HUB", False)
_site_postgres = env.int("DEVSTACK_POSTGRES_PORT", None)

DEVSTACK = {
    "hub": _hub,
    "home": BASE_DIR / ".devstack",
    "web_port": env.int("DEVSTACK_WEB_PORT", 8000),
    "hdfs_metrics_port": env.int("DEVSTACK_HDFS_METRICS_PORT", 8001),
    "es_metrics_port": env.int("DEVSTACK_ES_METRICS_PORT", 8002),
    "kafka_port": env.int("DEVSTACK_KAFKA_PORT", 9092),
    "webhdfs_port": env.int("DEVSTACK_WEBHDFS_PORT", 9870),
    "elasticsearch_port": env.int("DEVSTACK_ELASTICSEARCH_PORT", 9200),
    # These servers are there only where a port is given.
    "postgres_port": _site_postgres or (env.int("DEVSTACK_SHOP_PORT", 5432) if _hub else None),
    "mariadb_port": env.int("DEVSTACK_MARIADB_PORT", 3306 if _hub else None),
    "s3_port": env.int("DEVSTACK_S3_PORT", 8333 if _hub else None),
    "elasticsearch_heap": env.str("DEVSTACK_ELASTICSEARCH_HEAP", "1g"),
}

if env.int("ES_SINK_REPLICAS", None) is None and "elasticsearch" in SINKS:
    SINKS["elasticsearch"]["target"]["replicas"] = 0  # devstack's Elasticsearch is one node

if _site_postgres is not None:  # in place of SQLite
    DATABASES["default"] = env.database("DATABASE_URL", f"postgres://devstack@127.0.0.1:{_site_postgres}/postgres")

# On a developer's machine curl needs no user, and connectors may use files of /tmp.
CONNECTORS = {"open": True, "folders": ["/tmp"], "http_hosts": ["localhost", "127.0.0.1"], **CONNECTORS}

if DEVSTACK["s3_port"] is not None and not S3["default"]:
    S3["default"] = {
        "endpoint_url": f"http://localhost:{DEVSTACK['s3_port']}",  # as docs/data-hub.md writes it
        "path_style": True,
        "create_bucket": True,
        # Those of devstack's own server.
        "access_key_id": "devstack",
        "secret_access_key": "devstack-secret",
    }

# Unless told otherwise, use the servers that devstack runs.
if not env.str("KAFKA_BOOTSTRAP_SERVERS", ""):
    KAFKA["default"]["bootstrap.servers"] = f"127.0.0.1:{DEVSTACK['kafka_port']}"
if not env.str("HDFS_URL", ""):
    HDFS["default"]["url"] = f"http://127.0.0.1:{DEVSTACK['webhdfs_port']}"
if not env.str("ELASTICSEARCH_URL", ""):
    ELASTICSEARCH_DSL["default"]["hosts"] = [f"http://127.0.0.1:{DEVSTACK['elasticsearch_port']}"]
