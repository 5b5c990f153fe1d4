"""InfluxDB and VictoriaMetrics, for the tests of time series; `devstack up` does not start them.

Their programs come from Debian's packages `influxdb` and `victoria-metrics`.
"""

from functools import partial
from pathlib import Path

from devstack.config import StackConfig
from devstack.fetch import Report
from devstack.packages import fetch_debian, package_folder
from devstack.ports import HOST, Port
from devstack.server import Server, http_get

INFLUXDB, VICTORIAMETRICS = "influxdb", "victoriametrics"
_FOLDER = "timeseries"


def fetch_timeseries(home: Path, report: Report = print) -> None:
    """Unpack both under `home`, once. Raises DevstackError where the machine is no Debian."""
    packages = ("influxdb", "victoria-metrics")
    fetch_debian(home, _FOLDER, packages, title="InfluxDB and VictoriaMetrics", size="125 MB unpacked", report=report)


def influxdb_server(config: StackConfig, port: int) -> Server:
    """InfluxDB without users; there is no database yet."""
    folder = config.data / INFLUXDB
    settings = folder / "influxdb.conf"
    rpc = config.port_book.port("influxdb-rpc")
    return Server(
        name=INFLUXDB,
        title="InfluxDB",
        command=[_program(config, "influxd"), "-config", str(settings)],
        marker=str(settings),
        folder=folder,
        log_file=config.logs / f"{INFLUXDB}.log",
        ports=[Port(port, "InfluxDB"), Port(rpc, "InfluxDB's backups")],
        address=f"http://{HOST}:{port}",
        answers=partial(_answers, port, "/ping", 204),
        prepare=partial(_prepare, folder, settings, port, rpc),
    )


def victoriametrics_server(config: StackConfig, port: int) -> Server:
    """VictoriaMetrics, which keeps a hundred years and one of several samples with one time."""
    folder = config.data / VICTORIAMETRICS
    data_option = f"-storageDataPath={folder / 'data'}"
    return Server(
        name=VICTORIAMETRICS,
        title="VictoriaMetrics",
        command=[
            _program(config, "victoria-metrics"),
            data_option,
            f"-httpListenAddr={HOST}:{port}",
            "-retentionPeriod=100y",
            "-dedup.minScrapeInterval=1ms",
            "-search.latencyOffset=0s",
        ],
        marker=data_option,
        folder=folder,
        log_file=config.logs / f"{VICTORIAMETRICS}.log",
        ports=[Port(port, "VictoriaMetrics")],
        address=f"http://{HOST}:{port}",
        answers=partial(_answers, port, "/health", 200),
        prepare=lambda: None,
    )


def _program(config: StackConfig, name: str) -> str:
    return str(package_folder(config.home, _FOLDER) / "usr" / "bin" / name)


def _answers(port: int, path: str, status: int) -> bool:
    found = http_get(port, path)
    return found is not None and found[0] == status


def _prepare(folder: Path, settings: Path, port: int, rpc: int) -> None:
    settings.write_text(f"""\
reporting-disabled = true
bind-address = "{HOST}:{rpc}"
[meta]
  dir = "{folder / "meta"}"
[data]
  dir = "{folder / "data"}"
  wal-dir = "{folder / "wal"}"
[http]
  bind-address = "{HOST}:{port}"
  log-enabled = false
[monitor]
  store-enabled = false
""")
