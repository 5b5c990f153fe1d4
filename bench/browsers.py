"""Clicks as browsers send them, for wrk: other people, colours and User-Agents each time, the headers of a browser."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlencode

from events.synthetic import clicks

CLICKS = 2_000
USERS = 500

HEADERS = {
    "Accept": "*/*",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7",
    "Referer": "http://localhost/",
    "Sec-Fetch-Dest": "empty",
    "Sec-Fetch-Mode": "cors",
    "Sec-Fetch-Site": "same-origin",
}
"""What every browser of today sends with a fetch() of a page's script."""

_SCRIPT = """
local requests, last = {}, 0
function init()
  for number, click in ipairs(clicks) do
    wrk.headers["User-Agent"] = click[2]
    requests[number] = wrk.format("GET", click[1])
  end
end
function request()
  last = last % #requests + 1
  return requests[last]
end
"""


@contextmanager
def browsers(pause_ms: int = 0) -> Iterator[Path]:
    """The script for `wrk --script`; pause_ms: between an answer and the next request of a connection."""
    lines = [f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in HEADERS.items()]
    lines.append("clicks = {")
    for click in islice(clicks(colors=["red", "yellow", "green", "blue"], users=USERS, seed=1), CLICKS):
        address = "/api/select?" + urlencode({"color": click.color, "user": click.user})
        lines.append(f"  {{{json.dumps(address)}, {json.dumps(click.user_agent)}}},")
    lines.append("}")
    if pause_ms:
        lines.append(f"function delay() return {pause_ms} end")
    with TemporaryDirectory() as folder:
        script = Path(folder) / "clicks.lua"
        script.write_text("\n".join(lines) + _SCRIPT, encoding="utf-8")
        yield script
