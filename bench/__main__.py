"""`python -m bench [NAME ...]`: runs the benchmarks on servers of their own and keeps the figures as JSON."""

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings.test")
django.setup()  # the sink's index document is a Django one

from bench import (
    batches,
    console,
    database_sink,
    database_source,
    elasticsearch_sink,
    endpoint,
    file_source,
    hdfs_sink,
    s3_sink,
    servers,
    sources,
    spool,
    tabs,
    timeseries_sink,
)
from bench.report import Report
from devstack.config import StackConfig
from devstack.stack import Stack

BENCHMARKS: dict[str, Callable[[Stack, Report, float], None]] = {
    "endpoint": endpoint.run,
    "servers": servers.run,
    "batches": batches.run,
    "spool": spool.run,
    "hdfs": hdfs_sink.run,
    "s3": s3_sink.run,
    "elasticsearch": elasticsearch_sink.run,
    "database": database_sink.run,
    "timeseries": timeseries_sink.run,
    "sources": sources.run,
    "file_source": file_source.run,
    "database-source": database_source.run,
    "console": console.run,
    "tabs": tabs.run,
}


def main() -> None:
    """Exits with 0 when every benchmark ran; the figures themselves decide nothing."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of records (default: 1)")
    parser.add_argument("--out", type=Path, default=Path("bench/results"), help="folder of the JSON files")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers are stopped
    arguments.out.mkdir(parents=True, exist_ok=True)
    log = arguments.out / "bench.log"
    print(f"A benchmark takes some minutes; what servers and clients say meanwhile goes to {log}", flush=True)
    _send_errors_to(log)
    data = Path(tempfile.mkdtemp(prefix="bench-"))
    stack = Stack(StackConfig.on_free_ports(data, full_speed=True))
    stack.up(report=lambda line: print(line, file=sys.stderr))
    try:
        for name in arguments.names or BENCHMARKS:
            report = Report(name)
            BENCHMARKS[name](stack, report, arguments.scale)
            report.save(arguments.out)
            print(report.table(), flush=True)
    except Exception as error:
        print(f"{type(error).__name__}: {error}; {log} tells more")
        raise
    finally:
        stack.down()
        shutil.rmtree(data, ignore_errors=True)


def _send_errors_to(log: Path) -> None:
    """What this process and its children write to standard error goes to a file: the figures stand alone."""
    with log.open("w") as file:
        os.dup2(file.fileno(), 2)


if __name__ == "__main__":
    main()
