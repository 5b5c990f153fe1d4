"""The WSGI application that a web server runs."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings.production")

django = get_wsgi_application()

# These read the settings.
from events.conf import events_settings
from events.lane import Lane
from events.process_collector import process_collector, process_delivery
from events.stopping import when_told_to_end

application = Lane(django) if events_settings().lane else django

# Now, not at the first event: what a process that is gone has left in its spool is on its way at once.
process_collector()
when_told_to_end(lambda: process_delivery().expect_end())
