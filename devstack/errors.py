"""The one exception of this package: its text is one line that a person can act on."""


class DevstackError(Exception):
    """A local server cannot be fetched, started or stopped; `str(error)` is one clear line."""
