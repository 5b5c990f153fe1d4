"""What documents may hold that no UTF-8 and no spreadsheet takes, and where their pages end; on no server."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from pipeline.console.documents import search
from pipeline.console.documents.search import StoredDocument, TopValues

Operator = Callable[..., Client]
DOCUMENTS = "/admin/console/documents/elasticsearch/"
HALF = "red\ud800"
SOURCE = {"colorName": HALF, "extra": {"k": "\udc00", "n": 1}, "list": [HALF], "ok": "한"}


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The fields of the one document that is there."""
    source: dict[str, Any] = {}

    def one(*_args: object, **_options: object) -> StoredDocument:
        return StoredDocument("i", "1", 0, source)

    def columns(_target: object) -> list[str]:
        return list(search.flattened(source))

    def top_values(*_args: object) -> tuple[int, list[TopValues]]:
        return 1, [TopValues(name, [(value, 1)]) for name, value in source.items() if isinstance(value, str)]

    monkeypatch.setattr(search, "documents", lambda *_args, **_options: ([one()], False))
    monkeypatch.setattr(search, "document", one)
    monkeypatch.setattr(search, "top_values", top_values)
    monkeypatch.setattr(search, "columns", columns)
    monkeypatch.setattr(search, "export", lambda *_args, **_options: (iter([one()]), lambda: None))
    return source


def exported(client: Client, form: str) -> str:
    """An export, which must be UTF-8."""
    answer = client.get(f"{DOCUMENTS}export/?format={form}")
    return b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]


def test_half_of_a_surrogate_pair_is_shown_and_exported(operator: Operator, stored: dict[str, Any]) -> None:
    stored |= SOURCE
    client = operator()
    for panel in ("hits/", "fields/", "source/?index=i&id=1"):
        markup = client.get(DOCUMENTS + panel).json()["html"]
        assert "red\\ud800" in markup, panel
        markup.encode()
    assert json.loads(exported(client, "ndjson"))["_source"] == SOURCE
    header, cells = csv.reader(exported(client, "csv").splitlines())
    assert dict(zip(header, cells, strict=True)) == {
        "_index": "i",
        "_id": "1",
        "colorName": "red\\ud800",
        "extra.k": "\\udc00",
        "extra.n": "1",
        "list": '["red\\ud800"]',
        "ok": "한",
    }


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_no_cell_is_a_formula(operator: Operator, stored: dict[str, Any], begin: str) -> None:
    stored[f"{begin}HYPERLINK(1)"] = f"{begin}1+1"
    rows = list(csv.reader(io.StringIO(exported(operator(), "csv"), newline="")))
    assert rows == [["_index", "_id", f"'{begin}HYPERLINK(1)"], ["i", "1", f"'{begin}1+1"]]


def test_where_pages_end_is_said(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [StoredDocument("i", str(number), 0, {}) for number in range(51)]
    hits = [{"_index": one.index, "_id": one.id} for one in found]
    monkeypatch.setattr(search, "_search", lambda *_args, **_options: {"hits": {"hits": hits}})
    monkeypatch.setattr(search, "_by_place", lambda *_args: {(one.index, one.id): one for one in found})
    client = operator()
    before, last, beyond = (client.get(f"{DOCUMENTS}hits/?page={page}").json()["html"] for page in (198, 199, 200))
    assert ("Older" in before, "Pages end at" in before) == (True, False)
    assert ("Older" in last, "Pages end at 10,000 documents" in last) == (False, True)
    assert ("No documents here" in beyond, "Pages end at 10,000 documents" in beyond) == (False, True)
