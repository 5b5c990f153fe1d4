"""What a NameNode says of itself."""

from typing import NamedTuple

import msgspec

from sinks.errors import Retriable
from sinks.hdfs.webhdfs import HdfsCluster, translated, web_client


class NameNode(NamedTuple):
    """What a NameNode says of itself. data_nodes: how many live."""

    version: str
    data_nodes: int
    is_in_safe_mode: bool


@translated
def ask_name_node(cluster: HdfsCluster) -> NameNode:
    """What the first NameNode of a cluster says of itself, by its JMX page, which WebHDFS's port serves, too.

    Raises Retriable and Fatal.
    """
    query = {"qry": "Hadoop:service=NameNode,name=NameNodeInfo"}
    _client, session = web_client(cluster, connections=1)
    with session:
        answer = session.get(f"{cluster.urls[0]}/jmx", params=query, timeout=cluster.timeout_seconds)
        answer.raise_for_status()
        beans = answer.json()["beans"]
    if not beans:
        raise Retriable("HDFS: the NameNode is starting", reason="unreachable")
    bean = beans[0]
    return NameNode(bean["SoftwareVersion"], len(msgspec.json.decode(bean["LiveNodes"])), bool(bean["Safemode"]))
