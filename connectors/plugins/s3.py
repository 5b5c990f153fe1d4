"""Confluent's connector that stores files in S3."""

from typing import Any

from django.conf import settings

from connectors.plugins.files import FILE_SETTINGS, options_of, target_of
from connectors.plugins.plugin import Plugin, Values
from connectors.plugins.setting import Setting, SettingError

_OWN_UPLOADS = "the sink chooses the parts; an upload is completed in one step, so a file is there wholly or not at all"
_OF_STORE = "the store of settings.S3 says it"
_AGAIN = "what fails is tried again for as long as it takes"


class S3Sink(Plugin):
    """Files in a bucket of a store of settings.S3."""

    class_name = "io.confluent.connect.s3.S3SinkConnector"
    type = "sink"
    own = (
        Setting(name="s3.bucket.name", required=True, importance="HIGH", group="S3", doc="The bucket."),
        Setting(
            name="s3.region",
            default="us-west-2",
            importance="HIGH",
            group="S3",
            doc="That of a store of settings.S3.",
        ),
        Setting(name="store.url", default="", group="S3", doc="The address of a store of settings.S3."),
        Setting(name="store", default="", group="S3", doc="Of this project: the alias of the store in settings.S3."),
        Setting(name="s3.compression.type", default="none", values=("none", "gzip"), group="S3", doc="Of the files."),
        Setting(name="s3.compression.level", type="INT", group="S3", ignored="the level is gzip's own"),
        Setting(name="s3.ssea.name", default="", group="S3", doc="AES256 or aws:kms."),
        Setting(name="s3.sse.kms.key.id", default="", group="S3", doc="The key of aws:kms."),
        Setting(name="s3.storage.class", default="", group="S3", doc="The storage class of the files."),
        Setting(name="s3.part.size", type="INT", group="S3", ignored=_OWN_UPLOADS),
        Setting(name="s3.part.retries", type="INT", group="S3", ignored=_AGAIN),
        Setting(name="s3.retry.backoff.ms", type="LONG", group="S3", ignored=_AGAIN),
        Setting(name="s3.elastic.buffer.enable", type="BOOLEAN", group="S3", ignored=_OWN_UPLOADS),
        Setting(name="s3.wan.mode", type="BOOLEAN", group="S3", ignored=_OF_STORE),
        Setting(name="s3.path.style.access.enabled", type="BOOLEAN", group="S3", ignored=_OF_STORE),
        Setting(name="s3.proxy.*", group="S3", ignored=_OF_STORE),
        Setting(name="s3.credentials.provider.class", type="CLASS", group="S3", ignored=_OF_STORE),
        Setting(name="aws.access.key.id", default="", group="S3", doc="Must be empty: the store has credentials."),
        Setting(name="aws.secret.access.key", type="PASSWORD", default="", group="S3", doc="Must be empty, too."),
        Setting(name="s3.object.tagging", type="BOOLEAN", group="S3", ignored="objects have no tags"),
        Setting(name="behavior.on.null.values", group="S3", ignored="a record without a value becomes a dead letter"),
        *FILE_SETTINGS,
    )

    def entry(self, values: Values) -> dict[str, Any]:
        """A sink of the kind s3."""
        for name in ("aws.access.key.id", "aws.secret.access.key"):
            if values[name]:
                raise SettingError(name, "credentials are found by the workers, as settings.S3 says; it must be empty")
        return {
            "kind": "s3",
            "event": values["event"],
            "target": {
                "bucket": values["s3.bucket.name"],
                "store": _store(values),
                "path": f"/{values['topics.dir'].strip('/')}",
                "encryption": values["s3.ssea.name"],
                "kms_key": values["s3.sse.kms.key.id"],
                "storage_class": values["s3.storage.class"],
                **target_of(values, compression=values["s3.compression.type"]),
            },
            "options": options_of(values),
        }


def _store(values: Values) -> str:
    """The store with this address and region; a store that is not of AWS may leave the region out."""
    alias, url, region = values["store"], values["store.url"].rstrip("/"), values["s3.region"]
    if alias:
        if alias not in settings.S3:
            raise SettingError("store", f"there is no store {alias!r} in settings.S3; it has {', '.join(settings.S3)}")
        return str(alias)
    for name, entry in settings.S3.items():
        endpoint = (entry.get("endpoint_url") or "").rstrip("/")
        is_same_region = entry.get("region") in (region, None) if endpoint else entry.get("region") == region
        if (url in ("", endpoint)) and is_same_region:
            return str(name)
    where = f"with the address {url} and the region {region}" if url else f"of the region {region}"
    raise SettingError("store.url" if url else "s3.region", f"settings.S3 has no store {where}; add it there")
