"""The names that Kafka allows for topics."""

import re
from typing import Annotated

from msgspec import Meta

TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")
Topic = Annotated[str, Meta(pattern=f"^{TOPIC.pattern}$")]
