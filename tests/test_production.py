"""The site as docs advise to run it: `settings.production` on PostgreSQL, behind a proxy that ends TLS."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from devstack.stack import Stack
from tests.events.web import Web
from tests.on_postgres import running_postgres
from tests.support import Process, end_offsets, manage, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("production")]  # one web server for all

HOST = "shop.example"
BY_PROXY = {"Host": HOST, "X-Forwarded-Proto": "https"}
"""What the proxy adds to a request that came by HTTPS."""


class Site:
    """What a client that follows no redirect sees of the site."""

    def __init__(self, url: str, topic: str) -> None:
        self.topic = topic
        self._url = url

    def get(self, path: str, headers: dict[str, str] | None = None, **options: Any) -> requests.Response:
        """The answer to a GET; without headers, as a probe asks: by address, in plain HTTP."""
        return requests.get(self._url + path, headers=headers, allow_redirects=False, timeout=20, **options)

    def post(self, path: str, headers: dict[str, str], **options: Any) -> requests.Response:
        """The answer to a POST."""
        return requests.post(self._url + path, headers=headers, allow_redirects=False, timeout=20, **options)


@pytest.fixture(scope="session")
def site(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The web server with the user `ada`, whose password is `secret`."""
    folder = tmp_path_factory.mktemp("production")
    topic = f"t-{folder.name}"
    with running_postgres() as database:
        env = {
            "DJANGO_SETTINGS_MODULE": "settings.production",
            "ENV_FILE": "/dev/null",
            "SECRET_KEY": "a long random string",
            "ALLOWED_HOSTS": HOST,
            "BEHIND_TLS_PROXY": "true",
            "DATABASE_URL": database.address,
            "KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
            "HDFS_URL": stack.webhdfs_url,
            "ELASTICSEARCH_URL": stack.elasticsearch_url,
            "EVENTS_TOPIC": topic,
            "EVENTS_SPOOL_PATH": str(folder / "spool"),
            "EVENTS_METRICS_PATH": str(folder / "metrics"),
            "ES_SINK_REPLICAS": "0",
            "DJANGO_SUPERUSER_PASSWORD": "secret",
        }
        for command in (
            ["migrate", "--no-input"],
            ["createsuperuser", "--no-input", "--username", "ada", "--email", "ada@shop.example"],
            ["setup_pipeline"],
        ):
            process = Process(manage(*command), env)
            assert process.wait(120) == 0, process.text
        web = Web(env)
        yield Site(web.url, topic)
        assert web.process.stop() == 0, web.process.text


@pytest.mark.parametrize("headers", [None, {"Host": "10.1.2.3:8000"}, BY_PROXY], ids=["address", "other", "proxy"])
@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_a_probe_is_answered_whatever_host_and_protocol_it_uses(
    site: Site, path: str, headers: dict[str, str] | None
) -> None:
    assert site.get(path, headers).status_code == 200


def test_people_must_use_the_sites_name_and_https(site: Site) -> None:
    assert site.get("/", {"Host": "other.example", "X-Forwarded-Proto": "https"}).status_code == 400
    plain = site.get("/?a=1", {"Host": HOST})
    assert (plain.status_code, plain.headers["Location"]) == (301, f"https://{HOST}/?a=1")
    page = site.get("/", BY_PROXY)
    assert page.status_code == 200
    assert page.headers["Strict-Transport-Security"].startswith("max-age=")


def test_events_that_come_by_the_proxy_are_in_kafka(site: Site, stack: Stack) -> None:
    event = {"colorName": "red", "userName": "Ada"}
    assert site.get("/api/select", BY_PROXY, params={"color": "red", "user": "Ada"}).status_code == 202
    assert site.post("/api/events", BY_PROXY, json=[event, event]).status_code == 202
    wait_until(lambda: sum(end_offsets(stack, site.topic)) == 3, what="three records")


def test_an_operator_signs_in_and_opens_the_console(site: Site) -> None:
    session = requests.Session()
    form = session.get(site._url + "/admin/login/", headers=BY_PROXY, timeout=20)
    cookies = [form.headers["Set-Cookie"]]
    fields = {"csrfmiddlewaretoken": re.findall(r'csrfmiddlewaretoken" value="(\w+)"', form.text)[0]}
    fields |= {"username": "ada", "password": "secret", "next": "/admin/console/sinks/"}
    headers = {**BY_PROXY, "Referer": f"https://{HOST}/admin/login/"}
    # The client would keep cookies that are for HTTPS alone to itself here.
    cookie = f"csrftoken={form.cookies['csrftoken']}"
    signed_in = site.post("/admin/login/", {**headers, "Cookie": cookie}, data=fields)
    assert (signed_in.status_code, signed_in.headers["Location"]) == (302, "/admin/console/sinks/")
    cookies.append(signed_in.headers["Set-Cookie"])
    assert all("Secure" in text for text in cookies)
    cookie = f"sessionid={signed_in.cookies['sessionid']}"
    for path in ("/admin/", "/admin/console/sinks/", "/admin/console/topics/"):
        assert site.get(path, {**BY_PROXY, "Cookie": cookie}).status_code == 200, path


def test_a_stranger_finds_no_address_open_but_those_that_are_public(site: Site) -> None:
    for path in ("/admin/", "/admin/console/sinks/", "/admin/console/topics/"):
        assert site.get(path, BY_PROXY).status_code == 302, path
