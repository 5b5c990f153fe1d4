"""docs/adding-a-panel.md and docs/adding-a-page.md are true: what they add is made of their text."""

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import polib
import pytest
from django.conf import settings as project
from django.test import Client
from django.urls import include, path
from django.utils.translation import gettext_lazy as _
from pytest_django import Settings

import pipeline.console
from pipeline import urls as site_urls
from pipeline.access import console_view
from pipeline.console import pages, statistics, urls
from pipeline.console.pages import Page
from pipeline.console.panels import panel_view
from pipeline.console.statistics import views as main_page
from pipeline.errors import ServerAway
from pipeline.kafka_reads import Brokers
from tests.catalogues import texts_of
from tests.console.support import text_of
from tests.pipeline.conftest import PAGE, panel_data, panel_html

DOCS = Path(project.BASE_DIR) / "docs"
FILE = re.compile(r"`(pipeline/console/[\w/]+\.(?:py|html))`:\n\n```\w+\n(.*?)```", re.DOTALL)


def follow(document: str, folder: Path) -> list[Path]:
    """Writes the new files that a document shows, and returns them."""
    written = []
    for name, content in FILE.findall((DOCS / document).read_text(encoding="utf-8")):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
        written.append(file)
    return written


def added_to(name: str, document: str, names: dict[str, Any]) -> Any:
    """What a list of the project is after the lines of a document; names: what these lines know."""
    found = re.search(rf"```python\n({name} \+= .*?)```", (DOCS / document).read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    exec(found[1], names)
    return names[name]


@pytest.fixture
def templates(settings: Settings, tmp_path: Path) -> None:
    """Templates are found in the new folder, too."""
    [engine] = settings.TEMPLATES
    settings.TEMPLATES = [{**engine, "DIRS": [*engine["DIRS"], tmp_path / "pipeline"]}]


@pytest.fixture
def brokers(tmp_path: Path, templates: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Does what adding-a-panel.md says: a module, its template, and its name in the list."""
    follow("adding-a-panel.md", tmp_path)
    monkeypatch.setattr(statistics, "__path__", [*statistics.__path__, str(tmp_path / "pipeline/console/statistics")])
    module = importlib.import_module("pipeline.console.statistics.brokers")
    monkeypatch.setattr(main_page, "PIPELINE", (*main_page.PIPELINE, module.PANEL))
    yield module
    del sys.modules[module.__name__]


def test_the_panel_is_on_the_page_and_shows_what_it_read(
    brokers: Any, viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = viewer.get(PAGE).content.decode()
    assert '<h2 id="brokers-title">Brokers</h2>' in page
    assert 'data-panel="brokers"' in page
    for count, text in ((1, "The cluster has 1 broker."), (3, "The cluster has 3 brokers.")):
        monkeypatch.setattr(brokers, "read_brokers", lambda *_args, count=count, **_options: Brokers(count, None))
        assert text_of(panel_html(viewer, "brokers")).strip() == text


def test_its_server_that_is_away_is_told_and_the_others_go_on(
    brokers: Any, viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_args: Any, **_options: Any) -> Any:
        raise ServerAway("Kafka", "no answer")

    monkeypatch.setattr(brokers, "read_brokers", away)
    assert panel_data(viewer, "brokers")["error"] == {"server": "Kafka", "text": "no answer"}
    assert "html" in panel_data(viewer, "sinks")


@pytest.fixture
def clusters(
    tmp_path: Path, templates: None, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ModuleType]:
    """Does what adding-a-page.md says: a folder, its addresses, and an entry of the navigation."""
    follow("adding-a-page.md", tmp_path)
    monkeypatch.setattr(pipeline.console, "__path__", [*pipeline.console.__path__, str(tmp_path / "pipeline/console")])
    module = importlib.import_module("pipeline.console.clusters.views")
    names = {"path": path, "console_view": console_view, "panel_view": panel_view, "clusters": module}
    addresses = added_to("urlpatterns", "adding-a-page.md", {**names, "urlpatterns": list(urls.urlpatterns)})
    site = ModuleType("site_with_clusters")
    site.urlpatterns = [path("admin/console/", include((addresses, "console"))), *site_urls.urlpatterns]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, site.__name__, site)
    settings.ROOT_URLCONF = site.__name__
    entries = added_to("PAGES", "adding-a-page.md", {"Page": Page, "_": _, "PAGES": pages.PAGES})
    monkeypatch.setattr("pipeline.console.templatetags.console.PAGES", entries)
    yield module
    for name in [name for name in sys.modules if name.startswith("pipeline.console.clusters")]:
        del sys.modules[name]


def test_the_page_is_in_the_navigation_and_its_panel_shows_what_it_read(
    clusters: Any, viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "list_topics", lambda *_args, **_options: {"one": {}, "two": {}})
    address = "/admin/console/clusters/"
    page = viewer.get(address).content.decode()
    assert f'<a href="{address}" aria-current="page">Clusters</a>' in page
    assert f'data-url="{address}default/"' in page
    assert text_of(viewer.get(f"{address}default/").json()["html"]).strip() == "2 topics"
    assert viewer.get(f"{address}other/").status_code == 404


def test_nobody_sees_the_page_without_the_permission(clusters: Any, client: Client, db: None) -> None:
    assert client.get("/admin/console/clusters/default/").status_code == 302


@pytest.mark.parametrize("document", ["adding-a-panel.md", "adding-a-page.md"])
def test_each_text_has_its_korean(document: str, tmp_path: Path) -> None:
    files = follow(document, tmp_path)
    added = "".join(re.findall(r"```po\n(.*?)```", (DOCS / document).read_text(encoding="utf-8"), re.DOTALL))
    header = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\n'
    there = {entry.msgid for entry in polib.pofile(header + added)}
    there |= {entry.msgid for entry in polib.pofile(str(project.LOCALE_PATHS[0] / "ko/LC_MESSAGES/django.po"))}
    assert texts_of(files).keys() <= there
