"""Prefect flows over the pipeline, and the command line."""

from flows.embedded import quiet_defaults

quiet_defaults()  # before Prefect is imported, which then reads them, and tells of it elsewhere
