"""Confluent's connectors that store files in HDFS."""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from connectors.plugins.files import FILE_SETTINGS, options_of, target_of
from connectors.plugins.plugin import Plugin, Values
from connectors.plugins.setting import Setting, SettingError

_OF_CLUSTER = "the cluster of settings.HDFS says it"


class HdfsSink(Plugin):
    """Files in HDFS."""

    class_name = "io.confluent.connect.hdfs.HdfsSinkConnector"
    aliases = ("io.confluent.connect.hdfs3.Hdfs3SinkConnector", "Hdfs3SinkConnector", "Hdfs3Sink")
    type = "sink"
    own = (
        Setting(
            name="hdfs.url",
            required=True,
            importance="HIGH",
            doc="An alias of settings.HDFS, or a URL with the host of one of them.",
        ),
        Setting(name="store.url", default="", doc="The older name of hdfs.url."),
        Setting(name="logs.dir", ignored="the files need no log beside them"),
        Setting(name="hadoop.conf.dir", ignored=_OF_CLUSTER),
        Setting(name="hadoop.home", ignored=_OF_CLUSTER),
        Setting(name="hdfs.authentication.kerberos", type="BOOLEAN", ignored=_OF_CLUSTER),
        Setting(name="connect.hdfs.principal", ignored=_OF_CLUSTER),
        Setting(name="connect.hdfs.keytab", ignored=_OF_CLUSTER),
        Setting(name="hdfs.namenode.principal", ignored=_OF_CLUSTER),
        Setting(name="kerberos.ticket.renew.period.ms", type="LONG", ignored=_OF_CLUSTER),
        Setting(name="hive.integration", type="BOOLEAN", default="false", values=(), doc="Must be false."),
        *FILE_SETTINGS,
    )

    def entry(self, values: Values) -> dict[str, Any]:
        """A sink of the kind hdfs."""
        if values["hive.integration"]:
            raise SettingError("hive.integration", "tables of Hive are not made; it must be false")
        return {
            "kind": "hdfs",
            "event": values["event"],
            "target": {
                "path": f"/{values['topics.dir'].strip('/')}",
                "cluster": _cluster(values["hdfs.url"]),
                **target_of(values),
            },
            "options": options_of(values),
        }


def _cluster(url: str) -> str:
    if url in settings.HDFS:
        return url
    host = urlsplit(url).hostname
    for alias, entry in settings.HDFS.items():
        if host and host in {urlsplit(one).hostname for one in str(entry["url"]).split(";")}:
            return str(alias)
    raise SettingError("hdfs.url", f"no cluster of settings.HDFS has this host; there are {', '.join(settings.HDFS)}")
