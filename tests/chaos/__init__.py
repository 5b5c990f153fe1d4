"""The HDFS sink under random faults: `make chaos`."""
