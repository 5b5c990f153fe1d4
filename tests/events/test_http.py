"""What both doors read of a request."""

from urllib.parse import parse_qs

from hypothesis import example, given
from hypothesis import strategies as st

from events.http import query

pieces = st.sampled_from(
    ["%", "&", "=", "+", "a", "4", "E", "1", "%EA%B9%80", "%ed%a0%80", "%ff", "%00", "é", ";", "%e2"]
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
