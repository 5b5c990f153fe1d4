"""`devstack run`: the servers, then the site and the sinks as children, until Ctrl-C or until one of them dies."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from devstack.child import Child, ChildSpec, end_left_overs, join_all
from devstack.console import Console
from devstack.errors import DevstackError
from devstack.locks import locked_or_refused
from devstack.ports import Port
from devstack.stack import Stack

_POLL_SECONDS = 0.2

Step = ChildSpec | tuple[str, Callable[[], None]]
"""Something that must end well before the services start: a command, or a named function."""


@dataclass(frozen=True)
class Plan:
    """What runs beside the servers.

    `services` are started group by group, each when the one before answers, and stopped in that same order: who
    brings events in stops before who takes them out.
    """

    steps: Sequence[Step]
    services: Sequence[Sequence[ChildSpec]]
    ports: Sequence[Port] = ()
    banner: str = ""
    cwd: Path | None = None


def run_lock(stack: Stack) -> Path:
    """The lock file that a living `devstack run` holds."""
    return stack.config.data / "run.lock"


def end_left_overs_of(stack: Stack, report: Callable[[str], None]) -> None:
    """End the children of a `devstack run` that was killed; those of a living one are its own business."""
    with contextlib.suppress(DevstackError), locked_or_refused(run_lock(stack), "a run is alive"):
        end_left_overs(stack.config.data / "run", report)


class _Interrupted(Exception):
    """Ctrl-C, SIGTERM or SIGHUP, raised in the main thread wherever it is."""


class Runner:
    """One `devstack run`: `run()` returns its exit code."""

    def __init__(self, stack: Stack, plan: Plan) -> None:
        self._stack = stack
        self._plan = plan
        steps = [step.name if isinstance(step, ChildSpec) else step[0] for step in plan.steps]
        services = [spec.name for group in plan.services for spec in group]
        self._console = Console([*steps, *services])
        self._notes = stack.config.data / "run"
        self._groups: list[list[Child]] = []
        self._step: Child | None = None
        self._stopping = False

    def run(self) -> int:
        """Run to the end: 0 after Ctrl-C, SIGTERM or SIGHUP; 1 when something failed or died.

        Raises DevstackError when it cannot begin: a port is taken, or another run uses the data.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        refusal = f"another `devstack run` uses {self._stack.config.data}: stop that one first"
        try:
            with locked_or_refused(run_lock(self._stack), refusal):
                end_left_overs(self._notes, self._console.say)
                for port in self._plan.ports:
                    port.check_free()
                return self._run_alone()
        except _Interrupted:
            return 0

    def _run_alone(self) -> int:
        code = 0
        try:
            self._stack.up(self._console.say)
            for step in self._plan.steps:
                self._do(step)
            for group in self._plan.services:
                self._groups.append([])
                for spec in group:
                    self._groups[-1].append(self._start(spec))
                while not all(spec.answers() for spec in group if spec.answers):
                    self._check_alive()
                    time.sleep(_POLL_SECONDS)
            self._console.plain(self._plan.banner)
            while True:
                self._check_alive()
                time.sleep(_POLL_SECONDS)
        except _Interrupted:
            self._console.say("stopping; Ctrl-C again ends everything at once")
        except DevstackError as error:
            self._console.say(str(error))
            code = 1
        self._stopping = True
        self._stop()
        return code

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if not self._stopping:
            self._stopping = True
            raise _Interrupted
        self._kill_all()

    def _kill_all(self) -> None:
        """The second signal: nothing may delay it, neither locks nor `finally` blocks."""
        try:
            for child in self._children():
                child.kill()
            self._stack.kill()
        finally:
            os._exit(130)

    def _children(self) -> list[Child]:
        step = [self._step] if self._step else []
        return step + [child for group in self._groups for child in group]

    def _start(self, spec: ChildSpec) -> Child:
        cwd = self._plan.cwd or Path.cwd()
        return Child(spec, console=self._console, logs=self._stack.config.logs, notes=self._notes, cwd=cwd)

    def _do(self, step: Step) -> None:
        if not isinstance(step, ChildSpec):
            step[1]()
            return
        self._step = self._start(step)
        while not self._step.join(_POLL_SECONDS):
            pass
        code, log_file = self._step.exit_code, self._step.log_file
        self._step = None
        if code != 0:
            raise DevstackError(f"{step.name} failed (exit code {code}); see {log_file}")

    def _check_alive(self) -> None:
        """Raise DevstackError when a child or a server is gone."""
        for child in self._children():
            if child.exit_code is not None:
                raise DevstackError(
                    f"{child.spec.name} stopped by itself (exit code {child.exit_code}); see {child.log_file}"
                )
        for server in self._stack.servers:
            if not server.is_running():
                code = "" if server.exit_code is None else f" (exit code {server.exit_code})"
                raise DevstackError(f"{server.title} stopped by itself{code}; see {server.log_file}")

    def _stop(self) -> None:
        if self._step:
            self._step.terminate()
            join_all([self._step], self._console)
        for group in self._groups:
            running = [child for child in group if child.exit_code is None]
            if running:
                self._console.say("stopping " + ", ".join(child.spec.name for child in running))
            for child in running:
                child.terminate()
            join_all(group, self._console)
        self._stack.down(self._console.say)
        self._console.say(f"everything is stopped; the data stays in {self._stack.config.data}")
