"""Sinks and sources that are made by Kafka Connect's REST API and run by `manage.py run_connectors`."""
