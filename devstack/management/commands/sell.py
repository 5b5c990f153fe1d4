"""The command `manage.py sell`: sales in the shop and at the till of the data hub."""

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

import psycopg
import pymysql
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from devstack import hub


class Command(BaseCommand):
    """Adds rows to the tables that docs/data-hub.md reads."""

    help = "Makes sales in the databases of `make run HUB=1`."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """How many sales, and where."""
        parser.add_argument(
            "--shop", type=int, default=0, metavar="N", help="sales of the shop on the web (PostgreSQL)"
        )
        parser.add_argument("--till", type=int, default=0, metavar="N", help="sales at the till (MariaDB)")

    def handle(self, *args: Any, shop: int, till: int, **options: Any) -> None:
        """Raises CommandError where a server is away."""
        ports: Mapping[str, Any] = settings.DEVSTACK
        try:
            if shop > 0:
                hub.sell(hub.shop(ports["postgres_port"] or hub.SHOP_PORT), shop)
            if till > 0:
                hub.sell(hub.till(ports["mariadb_port"] or hub.TILL_PORT), till)
        except (psycopg.Error, pymysql.MySQLError) as error:
            raise CommandError(f"{error}; does `make run HUB=1` run?") from error
        self.stdout.write(f"sold: {shop} in the shop, {till} at the till")
