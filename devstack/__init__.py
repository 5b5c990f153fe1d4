"""Real local Kafka, HDFS and Elasticsearch for development and tests, fetched from package registries."""
