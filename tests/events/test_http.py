"""What both doors read of a request."""

import gzip
import io
from urllib.parse import parse_qs

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from events.http import MAX_MEMBERS, Refused, json_body, query

pieces = st.sampled_from(
    [
        "%",
        "&",
        "=",
        "+",
        "a",
        "4",
        "E",
        "1",
        "%EA%B9%80",
        "%ed%a0%80",
        "%ff",
        "%00",
        "é",
        ";",
        "%e2",
        "%3D",
        "%0A",
        "_",
        " ",
    ]
)


@given(st.lists(pieces, max_size=14).map("".join))
@example("a=1&a=1&a=1")
@example("=%f0%9f&=+")
def test_a_query_is_read_as_urllib_reads_it(text: str) -> None:
    expected = parse_qs(_meant(text), keep_blank_values=True, errors="replace")
    fields = {name: values[0] if len(values) == 1 else values for name, values in expected.items()}
    assert query({"QUERY_STRING": text}) == fields


def _meant(text: str) -> str:
    raw = text.encode("latin-1")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return text


def test_a_gzip_body_of_a_few_members_is_read_and_one_of_many_is_not() -> None:
    def read(data: bytes) -> bytes:
        environ = {"HTTP_CONTENT_ENCODING": "gzip", "CONTENT_LENGTH": str(len(data)), "wsgi.input": io.BytesIO(data)}
        return json_body({"CONTENT_TYPE": "text/plain", **environ}, 2**20, "text/plain")

    assert read(gzip.compress(b"a") * MAX_MEMBERS) == b"a" * MAX_MEMBERS
    with pytest.raises(Refused, match="more than 100 members"):
        read(gzip.compress(b"") * 50_000)
