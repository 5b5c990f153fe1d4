"""Files whose content takes far more memory than the file: given up on, by a process that is not the website's."""

import io
import sys
from pathlib import Path
from typing import Any

import fastavro
import pyarrow
import pyarrow.parquet
import pytest

from pipeline.console.files.decode import ENVIRONMENT, PASSED_ON, TooLarge, Undecodable, decode_apart

MEMORY = 16 * 1024 * 1024

SAYS = """printf '{"first": ["%s"], "last": [], "total": 1}' "$names"\n"""
"""A shell's command: a Preview of one line."""


def avro(kind: Any, value: Any) -> bytes:
    """A file of one record with one field."""
    schema = fastavro.parse_schema({"type": "record", "name": "r", "fields": [{"name": "a", "type": kind}]})
    file = io.BytesIO()
    fastavro.writer(file, schema, [{"a": value}], codec="deflate")
    return file.getvalue()


def parquet(text: str, rows: int) -> bytes:
    """A file that holds a text once and says that all rows have it."""
    column = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * rows, pyarrow.int32()), [text])
    file = io.BytesIO()
    table = pyarrow.table({"a": column})
    pyarrow.parquet.write_table(table, file, compression="zstd", store_schema=False)
    return file.getvalue()


@pytest.mark.parametrize(
    ("format_name", "content"),
    [
        ("avro", avro("string", "x" * 350_000_000)),
        ("parquet", parquet("x" * 1_000_000, 5_000)),
    ],
    ids=["a block that inflates a thousandfold", "a text that is repeated"],
)
def test_a_bomb_is_given_up_on(format_name: str, content: bytes) -> None:
    assert len(content) < 500_000
    with pytest.raises(TooLarge):
        decode_apart(format_name, content, memory_bytes=MEMORY)


def test_a_file_of_many_records_is_decoded_within_the_bound() -> None:
    found = decode_apart("parquet", parquet("x" * 100, 5_000), memory_bytes=MEMORY)
    assert (len(found.first), len(found.last), found.total) == (20, 20, 5_000)
    assert decode_apart("avro", avro("string", "ü"), memory_bytes=MEMORY).first == ["a: ü"]


def test_what_is_no_such_file_is_told_in_the_words_of_the_library() -> None:
    with pytest.raises(Undecodable, match="avro"):
        decode_apart("avro", b"no", memory_bytes=MEMORY)
    with pytest.raises(Undecodable, match="Parquet"):
        decode_apart("parquet", b"no", memory_bytes=MEMORY)


def test_the_process_that_decodes_gets_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file made by anybody may take the process over."""
    tells = tmp_path / "python"
    tells.write_text("#!/bin/sh\nnames=$(env | cut -d= -f1 | tr '\\n' ' ')\n" + SAYS)
    tells.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(tells))
    for name in ("SECRET_KEY", "KAFKA_OPTIONS", "DATABASE_URL", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "geheim")
    [told] = decode_apart("avro", b"", memory_bytes=MEMORY).first
    assert set(told.split()) <= {*PASSED_ON, *ENVIRONMENT, "PWD", "SHLVL", "_", "OLDPWD"}
