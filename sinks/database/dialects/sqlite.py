"""SQLite: one writer at a time; for trying things out."""

from collections.abc import Mapping, Sequence
from itertools import chain

from sinks.database.dialects.base import Column, Connection, Dialect, Holds, Type, on_conflict

_HOLDS = {
    "CharField": Holds.TEXT,
    "TextField": Holds.TEXT,
    "DateTimeField": Holds.TIME,
    "JSONField": Holds.JSON,
}


class SQLite(Dialect):
    """Its tables take a value of any type, unless they check it."""

    title = "SQLite"

    def types(self, connection: Connection, table: str) -> dict[str, Type]:
        with connection.cursor() as cursor:
            if table not in connection.introspection.table_names(cursor):
                return {}
            described = connection.introspection.get_table_description(cursor, table)
        found = {column.name: connection.introspection.get_field_type(column.type_code, column) for column in described}
        return {name: Type(_HOLDS.get(field, Holds.OTHER), field) for name, field in found.items()}

    def insert(
        self,
        connection: Connection,
        table: str,
        types: Mapping[str, Type],
        columns: Sequence[Column],
        key: Sequence[str],
    ) -> None:
        quote = connection.ops.quote_name
        places = f"({', '.join(['%s'] * len(columns))})"
        into = f"INSERT INTO {quote(table)} ({', '.join(map(quote, types))})"
        values = ", ".join([places] * len(columns[0]))
        with connection.cursor() as cursor:
            cursor.execute(
                f"{into} VALUES {values}{on_conflict(connection, list(types), key)}",
                list(chain.from_iterable(zip(*columns, strict=True))),
            )
