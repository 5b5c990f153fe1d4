"""`python -m tests.chaos --seed S --kills 200`: servers of its own, a random run, every record counted."""

import argparse
import logging
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings.test")
django.setup()  # the index document is a Django one

from devstack.config import StackConfig
from devstack.ports import choose_free
from devstack.stack import Stack
from tests.chaos.chaos import Chaos, plan
from tests.chaos.grounds import GROUNDS, named_servers
from tests.chaos.sources import Logs, SourceChaos, Tables
from tests.events import outage
from tests.events.web import Web
from tests.sinks.sink_processes import Nursery
from tests.sources.processes import Nursery as SourceNursery
from tests.sources.tables import TestDatabase
from tests.support import make_topics, stack_env

AWAY_SECONDS = 60.0


def main() -> int:
    """Exits 1 when a record is missing, twice or torn, or a sink ended by itself; its logs stay then.

    With --collector: when an event was lost that an answer had promised to keep, or arrived although it was refused.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument(
        "--sink", choices=("hdfs", "folder", "elasticsearch"), default="hdfs", help="its kind (default: hdfs)"
    )
    parser.add_argument(
        "--mode", choices=("flush", "append"), default="flush", help="of a sink of files (default: flush)"
    )
    parser.add_argument("--source", action="store_true", help="instead of sinks: sources of two databases and of files")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="repeats the actions of a run")
    parser.add_argument("--kills", type=int, default=200, help="of sinks (default: 200)")
    parser.add_argument("--restarts", type=int, default=3, help="of each server (default: 3)")
    parser.add_argument("--collector", action="store_true", help="instead of sinks: Kafka away under the collector")
    parser.add_argument(
        "--blips", type=int, default=30, help="and how often it blips then, on small spools (default: 30)"
    )
    parser.add_argument("--away", type=float, default=AWAY_SECONDS, help="seconds of that (default: 60)")
    options = parser.parse_args()
    logging.disable(logging.WARNING)

    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    ground = GROUNDS[options.sink, "" if options.sink == "elasticsearch" else options.mode]
    stack = Stack(StackConfig.on_free_ports(folder / "stack", lease_seconds=15))
    begin = time.monotonic()

    def report(line: str) -> None:
        print(f"{time.monotonic() - begin:6.1f} s  {line}", flush=True)

    if options.collector:
        return _collector(stack, folder, options, report)
    if options.source:
        return _sources(folder, options, report)
    report(f"{ground.__name__}, seed {options.seed}, {options.kills} kills; logs in {folder}")
    try:
        stack.up(report, list(named_servers(stack, ground.server_names).values()))
        with Nursery(
            kafka=stack.bootstrap_servers,
            hdfs=stack.webhdfs_url,
            elasticsearch=stack.elasticsearch_url,
            folder=folder,
        ) as nursery:
            chaos = Chaos(stack, nursery, ground=ground, report=report)
            records = chaos.run(plan(options.seed, options.kills, options.restarts, ground.server_names))
    except AssertionError as error:
        again = f"--sink {options.sink} --mode {options.mode} --seed {options.seed} --kills {options.kills}"
        report(f"FAILED, repeat with {again}; logs in {folder}: {error}")
        return 1
    finally:
        stack.kill()
    shutil.rmtree(folder)
    done = ", ".join(f"{count} x {kind}" for kind, count in sorted(chaos.done.items()))
    story = ", ".join(f"{phrase.strip(' :')!r} {count} x" for phrase, count in chaos.story.items())
    report(f"in the logs of the sinks: {story}")
    report(f"{records} records, each stored once, after {done}")
    return 0


def _collector(stack: Stack, folder: Path, options: argparse.Namespace, report: Callable[[str], None]) -> int:
    away = partial(outage.run, away_seconds=options.away)
    blips = partial(outage.run_blips, blips=options.blips, seed=options.seed)
    failed = False
    try:
        stack.up(report, stack.kafka)
        for name, run, environment in (("outage", away, {}), ("blips", blips, outage.SMALL_SPOOL)):
            report(f"{name}; seed {options.seed}")
            topic, spool = f"chaos-{name}", folder / name / "spool"
            make_topics(stack, topic)
            server = Web(
                stack_env(stack, EVENTS_TOPIC=topic, **outage.environment(spool), **environment), *outage.OPTIONS
            )
            try:
                counts = run(stack, topic, server, spool, report=report)
            finally:
                if server.process.is_running():
                    server.process.stop()
            for mode, count in counts.items():
                report(f"{mode}: {count}")
            failed |= any(count.lost or count.ghosts for count in counts.values())
    finally:
        stack.kill()
    if failed:
        report(f"FAILED; what is left lies in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


def _sources(folder: Path, options: argparse.Namespace, report: Callable[[str], None]) -> int:
    folder.chmod(0o755)  # PostgreSQL does not run as root: it becomes another user there
    postgres = choose_free(set())
    mariadb = choose_free({postgres})
    stack = Stack(StackConfig.on_free_ports(folder / "stack", postgres_port=postgres, mariadb_port=mariadb))
    databases = [server for server in stack.servers if server.name in ("postgres", "mariadb")]
    servers = [*stack.kafka, *databases]
    report(f"sources, seed {options.seed}, {options.kills} kills; logs in {folder}")
    try:
        stack.up(report, servers)
        with SourceNursery(stack.bootstrap_servers, folder) as nursery:
            grounds = [*(Tables(TestDatabase(server)) for server in databases), Logs(folder / "files", options.seed)]
            chaos = SourceChaos(stack, nursery, grounds, servers=servers, report=report)
            records = chaos.run(options.seed, options.kills, options.restarts)
    except AssertionError as error:
        report(f"FAILED, repeat with --source --seed {options.seed} --kills {options.kills}; logs in {folder}: {error}")
        return 1
    finally:
        stack.kill()
    shutil.rmtree(folder)
    done = ", ".join(f"{count} x {kind}" for kind, count in sorted(chaos.done.items()))
    report(f"{records} rows and lines, each committed once, after {done}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
