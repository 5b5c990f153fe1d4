"""settings.test, and each answer of the console tells how many threads of its process the console has held at once."""

import threading
from collections.abc import Callable
from typing import Any

from settings.test import *  # noqa: F403
from settings.test import MIDDLEWARE

MOST = "Most-At-Once"


class Counting:
    """Stands behind the middleware that bounds these threads."""

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self._get_response = get_response
        self._lock = threading.Lock()
        self._now = self._most = 0

    def __call__(self, request: Any) -> Any:
        if not request.path.startswith("/admin/"):
            return self._get_response(request)
        with self._lock:
            self._now += 1
            self._most = max(self._most, self._now)
        response = self._get_response(request)
        response.headers[MOST] = str(self._most)
        close = response.close

        def close_and_count() -> None:
            close()
            with self._lock:
                self._now -= 1

        response.close = close_and_count
        return response


_bounded = MIDDLEWARE.index("pipeline.budget.BudgetMiddleware") + 1
MIDDLEWARE = [*MIDDLEWARE[:_bounded], "tests.console.counted.Counting", *MIDDLEWARE[_bounded:]]
