"""Prefect flows over the pipeline, and the command line."""
