"""What a forked child does with Kafka clients of its parent."""

import ctypes


def never_destroy(client: object) -> None:
    """Keeps a Kafka client of the parent for as long as this process lives.

    To be called in a forked child: librdkafka's threads did not survive the fork, and destroying a client, which
    waits for them, hangs or crashes.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(client))
