"""What the REST API refuses."""


class RestError(Exception):
    """A request is refused with a status and a text, as Kafka Connect does."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def not_found(name: str) -> RestError:
    """There is no such connector."""
    return RestError(404, f"Connector {name} not found")
