"""A sink that was given another name does not store everything again without a word."""

import pytest

from sinks.files.layout import Layout
from sinks.files.writer import check_not_renamed
from sinks.records import Partition
from tests.sinks.memory_hdfs import MemoryHdfs
from worker.errors import Fatal

LAYOUT = Layout("/data", "new", Partition("t", 0))


def test_a_topic_that_another_sink_has_stored_here_is_refused_naming_both() -> None:
    hdfs = MemoryHdfs()
    hdfs.make_folders("/data/_sink/old/t/topic-id=x")
    with pytest.raises(Fatal, match=r"SINKS\['new'\]: a sink named 'old' has stored t in /data") as refused:
        check_not_renamed(hdfs, LAYOUT)
    assert "name the entry 'old', give it another path, or move /data/_sink/old/t" in str(refused.value)


def test_other_topics_of_other_sinks_and_what_is_its_own_are_let_pass() -> None:
    hdfs = MemoryHdfs()
    check_not_renamed(hdfs, LAYOUT)
    hdfs.make_folders("/data/_sink/other/u/topic-id=x")
    hdfs.make_folders("/data/_sink/new/t/0/rewinds")
    check_not_renamed(hdfs, LAYOUT)
