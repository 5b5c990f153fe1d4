"""Confluent's connectors for databases: JdbcSource and JdbcSink."""

from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from django.conf import settings

from connectors.plugins.plugin import Plugin, Values
from connectors.plugins.setting import Setting, SettingError
from sinks.database.config import PLACE

_SCHEMES = {"postgresql": "postgres", "mysql": "mysql", "mariadb": "mysql"}
_ENGINES = {"postgres": "django.db.backends.postgresql", "mysql": "django.db.backends.mysql"}
_PORTS = {"postgres": "5432", "mysql": "3306"}

_DATABASE, _MODE = "Database", "Mode"
_AGAIN = "a database that is away is asked again for as long as it takes"
_ALIVE = "rows wait until no older transaction is alive, so none is missed"
_TYPES = "values become JSON"

_CONNECTION = (
    Setting(
        name="connection.url",
        required=True,
        importance="HIGH",
        group=_DATABASE,
        doc="jdbc:postgresql://host:port/database, jdbc:mysql:// or jdbc:mariadb://.",
    ),
    Setting(name="connection.user", default="", importance="HIGH", group=_DATABASE, doc="The user."),
    Setting(name="connection.password", type="PASSWORD", default="", group=_DATABASE, doc="The user's password."),
    Setting(name="connection.attempts", type="INT", group=_DATABASE, ignored=_AGAIN),
    Setting(name="connection.backoff.ms", type="LONG", group=_DATABASE, ignored=_AGAIN),
    Setting(name="dialect.name", group=_DATABASE, ignored="connection.url says it"),
    Setting(name="quote.sql.identifiers", group=_DATABASE, ignored="names are always quoted"),
)


class JdbcSource(Plugin):
    """Rows of PostgreSQL and MariaDB."""

    class_name = "io.confluent.connect.jdbc.JdbcSourceConnector"
    type = "source"
    own = (
        *_CONNECTION,
        Setting(
            name="mode",
            required=True,
            importance="HIGH",
            group=_MODE,
            values=("bulk", "incrementing", "timestamp", "timestamp+incrementing"),
            doc="How new rows are found.",
        ),
        Setting(name="incrementing.column.name", default="", group=_MODE, doc="The column with the number that grows."),
        Setting(name="timestamp.column.name", type="LIST", default="", group=_MODE, doc="The column with the time."),
        Setting(name="timestamp.initial", default="", group=_MODE, doc="Must be empty: all rows are read."),
        Setting(name="timestamp.delay.interval.ms", type="LONG", group=_MODE, ignored=_ALIVE),
        Setting(name="timestamp.granularity", group=_MODE, ignored="times are exact"),
        Setting(name="validate.non.null", type="BOOLEAN", group=_MODE, ignored="a NULL there is an error"),
        Setting(name="query", default="", group=_MODE, doc="A SELECT to read instead of tables."),
        Setting(name="query.suffix", default="", group=_MODE, doc="Must be empty."),
        Setting(name="query.retry.attempts", type="INT", group=_MODE, ignored=_AGAIN),
        Setting(name="table.whitelist", type="LIST", default="", group=_DATABASE, doc="The tables to read."),
        Setting(name="table.blacklist", type="LIST", default="", group=_DATABASE, doc="The tables not to read."),
        Setting(name="table.types", type="LIST", default="TABLE", group=_DATABASE, doc="Must be TABLE."),
        Setting(name="table.poll.interval.ms", type="LONG", group=_DATABASE, ignored="each poll sees new tables"),
        Setting(name="table.monitoring.startup.polling.limit.ms", type="LONG", group=_DATABASE, ignored=_AGAIN),
        Setting(name="schema.pattern", default="", group=_DATABASE, doc="The schema of the tables."),
        Setting(name="catalog.pattern", group=_DATABASE, ignored="connection.url names the database"),
        Setting(name="db.timezone", default="", group=_DATABASE, doc="The zone of times without one."),
        Setting(name="db.fetch.size", type="INT", group=_DATABASE, ignored="batch.max.rows says it"),
        Setting(name="transaction.isolation.mode", group=_DATABASE, ignored=_ALIVE),
        Setting(name="numeric.mapping", default="none", group=_MODE, doc="best_fit…: decimals become numbers."),
        Setting(name="numeric.precision.mapping", type="BOOLEAN", group=_MODE, ignored="numeric.mapping says it"),
        Setting(
            name="topic.prefix", required=True, importance="HIGH", doc="What topics begin with; the table follows."
        ),
        Setting(name="poll.interval.ms", type="INT", default="5000", least=1, doc="How long to wait for new rows."),
        Setting(name="batch.max.rows", type="INT", default="100", least=1, doc="Rows of one read."),
    )

    def entry(self, values: Values) -> dict[str, Any]:
        """A source of the kind database."""
        for name, allowed in (("timestamp.initial", ""), ("query.suffix", ""), ("table.types", ["TABLE"])):
            if values[name] != allowed:
                raise SettingError(name, f"{name} is not supported; it must be {allowed or 'empty'}")
        times, tables, query = values["timestamp.column.name"], values["table.whitelist"], values["query"]
        if len(times) > 1:
            raise SettingError("timestamp.column.name", "one column must have the time of a row's last change")
        if query and (tables or values["table.blacklist"]):
            raise SettingError("query", "give either a query or tables")
        target = {
            "database": database_url(values),
            "mode": values["mode"],
            "incrementing_column": values["incrementing.column.name"],
            "timestamp_column": times[0] if times else "",
            "topic": values["topic.prefix"] if query else f"{values['topic.prefix']}{{table}}",
            "schema": values["schema.pattern"],
            "exclude": values["table.blacklist"],
            "decimals": "number" if values["numeric.mapping"].startswith("best_fit") else "text",
            "time_zone": values["db.timezone"],
            **({"query": query} if query else {"tables": tables or ["*"]}),
        }
        return {
            "kind": "database",
            "target": target,
            "poll_seconds": values["poll.interval.ms"] / 1000,
            "tasks": min(values["tasks.max"], len(tables) or (1 if query else 64), 64),
            "options": {"batch_records": values["batch.max.rows"]},
        }


class JdbcSink(Plugin):
    """Rows in a table of PostgreSQL or MariaDB."""

    class_name = "io.confluent.connect.jdbc.JdbcSinkConnector"
    type = "sink"
    own = (
        *_CONNECTION,
        Setting(name="table.name.format", default="${topic}", doc="The table; ${topic} stands for the only topic."),
        Setting(name="insert.mode", default="insert", values=("insert", "upsert"), doc="Whether rows replace others."),
        Setting(name="pk.mode", default="none", values=("none", "kafka", "record_value"), doc="What makes the key."),
        Setting(name="pk.fields", type="LIST", default="", doc="The fields of the key."),
        Setting(name="fields.whitelist", type="LIST", default="", doc="The fields that become columns."),
        Setting(name="auto.create", type="BOOLEAN", ignored="a table that is missing is made"),
        Setting(name="auto.evolve", type="BOOLEAN", default="false", doc="Must be false."),
        Setting(name="delete.enabled", type="BOOLEAN", default="false", doc="Must be false."),
        Setting(name="batch.size", type="INT", default="1000", least=1, doc="Rows of one transaction."),
        Setting(name="max.retries", type="INT", ignored=_AGAIN),
        Setting(name="retry.backoff.ms", type="INT", ignored=_AGAIN),
        Setting(name="db.timezone", ignored="times are stored with their zone"),
        Setting(name="event", default="json", doc="Of this project: the kind of event in the topics."),
    )

    def entry(self, values: Values) -> dict[str, Any]:
        """A sink of the kind database, in a database of the settings."""
        for name in ("auto.evolve", "delete.enabled"):
            if values[name]:
                raise SettingError(name, f"{name} is not supported; it must be false")
        topics, fields, key = values["topics"], values["fields.whitelist"], values["pk.fields"]
        table = values["table.name.format"]
        if "${topic}" in table and len(topics) > 1:
            raise SettingError("topics", "a connector stores in one table: make one for each topic, or name the table")
        if values["insert.mode"] == "upsert" and (values["pk.mode"] != "record_value" or not key):
            raise SettingError("pk.mode", "upsert needs pk.mode record_value, and pk.fields")
        target: dict[str, Any] = {
            "database": _alias(values),
            "table": table.replace("${topic}", topics[0] if topics else ""),
            "columns": {name: name for name in [*fields, *(name for name in key if name not in fields)]}
            if fields
            else {},
        }
        if values["pk.mode"] == "kafka" and fields:
            target["columns"] |= PLACE
        if values["insert.mode"] == "upsert":
            target["key"] = key
        return {
            "kind": "database",
            "event": values["event"],
            "target": target,
            "options": {"flush_records": values["batch.size"], "flush_seconds": 1.0},
        }


def database_url(values: Values) -> str:
    """The URL of a JDBC URL, with user and password. Raises SettingError, which tells no password."""
    scheme, host, name, query = _parts(values["connection.url"])
    given = dict(parse_qsl(query, keep_blank_values=True))
    user = values["connection.user"] or given.pop("user", "")
    password = values["connection.password"] or given.pop("password", "")
    given = {key: value for key, value in given.items() if scheme == "postgres" and key in ("sslmode", "sslrootcert")}
    who = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    return f"{scheme}://{who}{'@' if who else ''}{host}/{name}{f'?{urlencode(given)}' if given else ''}"


def _parts(url: str) -> tuple[str, str, str, str]:
    kind = url.removeprefix("jdbc:").partition(":")[0]
    if not url.startswith("jdbc:") or kind not in _SCHEMES:
        raise SettingError("connection.url", f"it must begin with {', '.join(f'jdbc:{one}://' for one in _SCHEMES)}")
    parts = urlsplit(url.removeprefix("jdbc:"))
    if not parts.hostname or not parts.path.strip("/") or "@" in parts.netloc or "," in parts.netloc:
        raise SettingError("connection.url", "it must be like jdbc:postgresql://host:port/database")
    return _SCHEMES[kind], parts.netloc, parts.path.strip("/"), parts.query


def _alias(values: Values) -> str:
    """The entry of DATABASES that a JDBC URL means: the offsets lie there, too, and its user may make tables."""
    url = values["connection.url"]
    if url in settings.DATABASES:
        return str(url)
    scheme, host, name, _ = _parts(url)
    wanted = (_ENGINES[scheme], *_with_port(host, scheme), name)
    for alias, entry in settings.DATABASES.items():
        port = str(entry.get("PORT") or _PORTS[scheme])
        if wanted == (entry["ENGINE"], entry.get("HOST") or "localhost", port, entry["NAME"]):
            return str(alias)
    raise SettingError("connection.url", "no entry of settings.DATABASES is this database: name it there")


def _with_port(host: str, scheme: str) -> tuple[str, str]:
    name, _, port = host.partition(":")
    return name, port or _PORTS[scheme]
