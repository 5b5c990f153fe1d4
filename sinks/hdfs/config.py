"""Where an HDFS sink stores."""

from typing import Annotated

import msgspec
from msgspec import Meta


class HdfsTarget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="hdfs"):
    """The `target` of an HDFS sink."""

    path: Annotated[
        str, Meta(pattern=r"^/.*[^/]$", description="The folder of its files; absolute, no slash at the end.")
    ]
    cluster: Annotated[str, Meta(description="The cluster of settings.HDFS.")] = "default"

    def __str__(self) -> str:
        return f"HDFS ({self.cluster}) {self.path}"
