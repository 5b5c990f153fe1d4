"""`python -m tests.chaos --seed S --kills 200`: servers of its own, a random run, every record counted."""

import argparse
import logging
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings.test")
django.setup()  # the index document is a Django one

from devstack.config import StackConfig
from devstack.stack import Stack
from tests.chaos.chaos import Chaos, plan
from tests.chaos.grounds import GROUNDS
from tests.sinks.sink_processes import Nursery


def main() -> int:
    """Exits 1 when a record is missing, twice or torn, or a sink ended by itself; its logs stay then."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--sink", choices=("hdfs", "elasticsearch"), default="hdfs", help="its kind (default: hdfs)")
    parser.add_argument("--mode", choices=("flush", "append"), default="flush", help="of HDFS (default: flush)")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="repeats the actions of a run")
    parser.add_argument("--kills", type=int, default=200, help="of sinks (default: 200)")
    parser.add_argument("--restarts", type=int, default=3, help="of each server (default: 3)")
    options = parser.parse_args()
    logging.disable(logging.WARNING)

    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    ground = GROUNDS[options.sink, options.mode if options.sink == "hdfs" else ""]
    stack = Stack(StackConfig.on_free_ports(folder / "stack", lease_seconds=15))
    begin = time.monotonic()

    def report(line: str) -> None:
        print(f"{time.monotonic() - begin:6.1f} s  {line}", flush=True)

    report(f"{ground.__name__}, seed {options.seed}, {options.kills} kills; logs in {folder}")
    try:
        stack.up(report)
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


if __name__ == "__main__":
    sys.exit(main())
