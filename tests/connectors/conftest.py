"""A client of the REST API that may do everything."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from rest_framework.test import APIClient

from connectors.conf import connectors_settings
from devstack.config import StackConfig
from devstack.stack import Stack


@pytest.fixture(autouse=True)
def _connectors_settings(settings: Any) -> Any:
    """Connectors may use files of /tmp; the settings are read anew for each test."""
    settings.CONNECTORS = {"folders": ["/tmp"]}
    connectors_settings.cache_clear()
    yield
    connectors_settings.cache_clear()


def user_with(name: str, *permissions: str) -> User:
    """A user with these permissions of the app."""
    user = User.objects.create_user(name, password=f"{name}-password")
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


@pytest.fixture
def operator(db: Any) -> User:
    """Somebody who may do everything with connectors."""
    return user_with("operator", "view_connector", "add_connector", "change_connector", "delete_connector")


@pytest.fixture
def client_of() -> Callable[[User | None], APIClient]:
    """Makes a client of a user."""

    def make(user: User | None) -> APIClient:
        client = APIClient()
        client.default_format = "json"
        if user is not None:
            client.force_authenticate(user)
        return client

    return make


@pytest.fixture
def client(operator: User, client_of: Callable[[User | None], APIClient]) -> APIClient:
    """The operator's client."""
    return client_of(operator)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Kafka alone, for all tests of connectors."""
    stack = Stack(StackConfig.on_free_ports(tmp_path_factory.mktemp("connectors"), kafka_heap="256m"))
    stack.up(print, stack.kafka)
    yield stack
    stack.kill()
    shutil.rmtree(stack.config.data, ignore_errors=True)
