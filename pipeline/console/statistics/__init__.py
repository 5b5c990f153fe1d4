"""The main page: the panels of a kind of event, and those of the whole pipeline."""
