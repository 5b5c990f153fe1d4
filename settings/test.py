"""Settings of the test suite: nothing of the developer's `.env` or servers; fixtures start their own on free ports."""

import os
import tempfile

os.environ["ENV_FILE"] = os.devnull
for _variable in ("KAFKA_BOOTSTRAP_SERVERS", "HDFS_URL", "ELASTICSEARCH_URL", "DATABASE_URL"):
    # A test gives a process that it starts its servers as TEST_…; whatever else the shell has set is not ours to touch.
    os.environ.pop(_variable, None)
    if f"TEST_{_variable}" in os.environ:
        os.environ[_variable] = os.environ[f"TEST_{_variable}"]

from settings.base import *
from settings.base import CACHES, DATABASES, ELASTICSEARCH_DSL, EVENTS, HDFS, KAFKA

SECRET_KEY = "test"
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "testserver"]
CACHES.pop("console", None)  # what one test has read is not the answer of the next one
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

if "TEST_KAFKA_BOOTSTRAP_SERVERS" not in os.environ:
    KAFKA["default"]["bootstrap.servers"] = "localhost:1"
if "TEST_HDFS_URL" not in os.environ:
    HDFS["default"]["url"] = "http://localhost:1"
if "TEST_ELASTICSEARCH_URL" not in os.environ:
    ELASTICSEARCH_DSL["default"]["hosts"] = ["http://localhost:1"]
if "TEST_DATABASE_URL" not in os.environ:
    DATABASES["default"] = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
if "EVENTS_SPOOL_PATH" not in os.environ:
    _spool = tempfile.TemporaryDirectory(prefix="spool-", ignore_cleanup_errors=True)
    EVENTS["spool"]["path"] = _spool.name
if "EVENTS_METRICS_PATH" not in os.environ:
    _metrics = tempfile.TemporaryDirectory(prefix="metrics-", ignore_cleanup_errors=True)
    EVENTS["metrics_path"] = _metrics.name
