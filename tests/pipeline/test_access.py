"""Who may see the statistics, and what the page is made of."""

import re
from pathlib import Path

import pytest
from django.test import Client
from pytest_django import Settings

from pipeline import console
from pipeline.checks import check_console_settings
from pipeline.conf import console_settings
from tests.pipeline.conftest import PAGE, PANELS, panel_data, panel_url, staff

ADDRESSES = [PAGE, *(panel_url(panel) for panel in PANELS), panel_url("unknown")]


@pytest.mark.django_db
@pytest.mark.parametrize("address", ADDRESSES)
def test_anonymous_is_sent_to_the_login(client: Client, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/admin/login/?next=")


@pytest.mark.django_db
@pytest.mark.parametrize("address", ADDRESSES)
def test_staff_without_the_permission_is_refused(client: Client, address: str) -> None:
    client.force_login(staff("plain", may_see=False))
    assert client.get(address).status_code == 403
    assert PAGE not in client.get("/admin/").content.decode()


def test_staff_with_the_permission_sees_the_page(viewer: Client) -> None:
    assert PAGE in viewer.get("/admin/").content.decode()
    answer = viewer.get(PAGE)
    assert answer.status_code == 200
    assert "script-src 'self';" in answer.headers["Content-Security-Policy"]
    assert all(f'data-panel="{panel}"' in answer.content.decode() for panel in PANELS)


@pytest.mark.parametrize("path", ["add/", "1/", "1/change/", "1/delete/", "1/history/"])
def test_nothing_can_be_added_changed_or_deleted(viewer: Client, path: str) -> None:
    assert viewer.get(f"{PAGE}{path}").status_code == 404
    assert viewer.post(f"{PAGE}{path}").status_code == 404


def test_a_range_that_is_none_is_refused_as_data_and_ignored_on_the_page(viewer: Client) -> None:
    answer = viewer.get(panel_url("newest", "range=forever"))
    assert answer.status_code == 400
    assert "forever" in answer.json()["error"]["text"]
    assert viewer.get(f"{PAGE}?range=forever&end=never").status_code == 200
    assert viewer.get(panel_url("unknown")).status_code == 404


def test_servers_that_are_away_are_an_answer_and_no_failure(viewer: Client) -> None:
    for panel in PANELS[:4]:
        answer = viewer.get(panel_url(panel))
        assert answer.status_code == 200
        error = panel_data(viewer, panel)["error"]
        assert error["server"] == "Elasticsearch (http://localhost:1)"
        assert "refused" in error["text"]


def test_the_page_has_no_inline_script_or_style(viewer: Client) -> None:
    page = viewer.get(PAGE).content.decode()
    assert not re.search(r"<style|\sstyle=|\son\w+=", page)
    scripts = re.findall(r"<script([^>]*)>", page)
    assert all("src=" in attributes or 'type="application/json"' in attributes for attributes in scripts)


def test_every_text_that_a_script_asks_for_is_there(viewer: Client) -> None:
    page = viewer.get(PAGE).content.decode()
    source = "".join(script.read_text() for script in (Path(console.__file__).parent / "static").rglob("*.js"))
    asked = set(re.findall(r'\bsay\([^"]*?"(\w+)"', source)) | set(re.findall(r'\? "(\w+)" : "\w+"', source))
    asked |= set(re.findall(r'\? "\w+" : "(\w+)"', source))
    there = {name.replace("-", "") for name in re.findall(r"data-text-([\w-]+)=", page)}
    assert {name.lower() for name in asked} == there


def test_a_mistake_in_the_settings_is_explained(settings: Settings) -> None:
    settings.CONSOLE = {"refresh_seconds": 0}
    console_settings.cache_clear()
    [error] = check_console_settings()
    assert error.id == "pipeline.E001"
    assert "refresh_seconds" in error.msg
