"""`manage.py search_index` of django-elasticsearch-dsl, refused: documents come from Kafka, not from SQL."""

from typing import Any

from django.core.management.base import CommandError
from django_elasticsearch_dsl.management.commands.search_index import Command as SearchIndex


class Command(SearchIndex):  # type: ignore[misc]  # the package has no types
    """Takes the package's arguments, and does nothing with them."""

    help = "Refused: it deletes the documents of sinks and can't bring them back. Use setup_pipeline."

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError, which names the right way."""
        raise CommandError(
            "search_index fills indices from SQL, which holds no events here: --delete and --rebuild would delete the "
            "documents, and nothing would come back. `manage.py setup_pipeline` makes indices and updates their "
            "mapping. To store documents again, let the sink restart from an offset (docs/console.md, Sinks)."
        )
