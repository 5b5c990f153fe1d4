"""Requests of a book's exercises, as its readers post them."""

import json

BOOK = json.loads("""
[
  {"name": "sink-zaiko-data",
   "config": {"connector.class": "org.apache.kafka.connect.file.FileStreamSourceConnector", "file": "/tmp/zaiko/zaiko.txt", "topic": "zaiko-data"}},
  {"name": "load-zaiko-data",
   "config": {"connector.class": "org.apache.kafka.connect.file.FileStreamSinkConnector", "file": "/tmp/zaiko/zaiko-a.txt", "topics": "zaiko-data"}},
  {"name": "load-ecsales-data",
   "config": {"connector.class": "io.confluent.connect.jdbc.JdbcSourceConnector", "connection.url": "jdbc:postgresql://localhost/ec", "connection.user": "connectuser", "connection.password": "connectpass",
              "mode": "incrementing", "incrementing.column.name": "seq", "table.whitelist": "ec_uriage", "topic.prefix": "ecsales_", "tasks.max": "3"}},
  {"name": "load-possales-data",
   "config": {"connector.class": "io.confluent.connect.jdbc.JdbcSourceConnector", "connection.url": "jdbc:mysql://localhost/pos", "connection.user": "connectuser", "connection.password": "connectpass",
              "mode": "incrementing", "incrementing.column.name": "seq", "table.whitelist": "pos_uriage", "topic.prefix": "possales_", "tasks.max": "3"}},
  {"name": "sink-sales-data",
   "config": {"connector.class": "io.confluent.connect.s3.S3SinkConnector", "s3.bucket.name": "kafka-exam-bucket", "s3.region": "ap-northeast-2", "storage.class": "io.confluent.connect.s3.storage.S3Storage",
              "format.class": "io.confluent.connect.s3.format.json.JsonFormat", "flush.size": 3, "topics": "possales_pos_uriage, ecsales_ec_uriage", "tasks.max": "3"}},
  {"name": "load-possales-data-sr-1",
   "config": {"connector.class": "io.confluent.connect.jdbc.JdbcSourceConnector", "connection.url": "jdbc:mysql://localhost/pos", "connection.user": "connectuser", "connection.password": "connectpass",
              "mode": "incrementing", "incrementing.column.name": "seq", "table.whitelist": "pos_uriage", "topic.prefix": "possales_sr_1_", "tasks.max": "3",
              "key.converter": "io.confluent.connect.avro.AvroConverter", "key.converter.schema.registry.url": "http://localhost:8081",
              "value.converter": "io.confluent.connect.avro.AvroConverter", "value.converter.schema.registry.url": "http://localhost:8081"}},
  {"name": "sink-sales-data-sr-1",
   "config": {"connector.class": "io.confluent.connect.s3.S3SinkConnector", "s3.bucket.name": "kafka-exam-bucket", "s3.region": "ap-northeast-2", "storage.class": "io.confluent.connect.s3.storage.S3Storage",
              "format.class": "io.confluent.connect.s3.format.json.JsonFormat", "flush.size": 3, "topics": "possales_sr_1_pos_uriage", "tasks.max": "3",
              "value.converter": "io.confluent.connect.avro.AvroConverter", "value.converter.schema.registry.url": "http://localhost:8081"}}
]
""")  # noqa: E501
"""The documents of a book's exercises, as its readers post them."""
