"""What an operator is told when a server does not answer."""

from typing import Any


class ServerError(Exception):
    """A server could not be read.

    server: its name for people, such as "Elasticsearch (http://localhost:9200)", empty where it answers but lacks what
    the text names; text: its own words.
    """

    def __init__(self, server: str, text: str) -> None:
        super().__init__(f"{server}: {text}" if server else text)
        self.server = server
        self.text = text

    def __reduce__(self) -> tuple[type["ServerError"], tuple[str, str]]:
        return type(self), (self.server, self.text)

    def answer(self) -> dict[str, Any]:
        """The error as the scripts of the pages expect it."""
        return {"error": {"server": self.server, "text": self.text}}


class ServerAway(ServerError):
    """It did not answer at all: asking again at once would only wait again."""
