"""The commands that dependencies bring: none of them may harm what this project stores."""

import pytest
from django.core.management import CommandError, call_command, get_commands

HARMLESS = {"spectacular", "generateschema", "drf_create_token"}
"""Commands of dependencies that only print a schema, or make a token for the REST API of connectors."""


def test_every_command_of_a_dependency_was_judged() -> None:
    own = {"events", "sinks", "sources", "streams", "connectors", "pipeline", "pipeline.console"}
    others = {name for name, app in get_commands().items() if app not in own and not app.startswith("django.")}
    assert others == HARMLESS


@pytest.mark.parametrize("action", ["--create", "--populate", "--delete", "--rebuild"])
def test_search_index_is_refused_and_the_right_way_is_named(action: str) -> None:
    with pytest.raises(CommandError, match=r"which holds no events here.* `manage\.py setup_pipeline`"):
        call_command("search_index", action, "-f")
