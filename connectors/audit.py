"""Who hears of each change of a connector before it is made. The console puts its log here; see docs/connectors.md."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from events.shortening import shortened

logger = logging.getLogger(__name__)

_MOST = 1_000
"""Characters of a line of the log."""

Audit = Callable[[str, str, str], AbstractContextManager[object]]
"""Given the user's name, what is changed and how, gives what the change happens within."""

audits: list[Audit] = []


def register_audit(audit: Audit) -> None:
    """Has a function asked around each change. Where one of them raises, nothing is changed."""
    if audit not in audits:
        audits.append(audit)


@contextmanager
def changing(user: str, connector: str, what: str) -> Iterator[None]:
    """Around a change; it is logged in any case."""
    logger.info("%s: %s, by %s", connector, shortened(what, _MOST), user)
    with ExitStack() as around:
        for audit in audits:
            around.enter_context(audit(user, f"connector {connector}", what))
        yield
