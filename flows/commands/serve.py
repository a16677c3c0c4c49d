"""Command ``siamese serve``."""

from pathlib import Path


def serve(config: Path) -> None:
    """Run the jobs of a config on their schedules, until stopped."""
    from flows.embedded import quiet_defaults

    quiet_defaults()  # before Prefect is imported
    from flows.serving import ServeConfig, serve_jobs

    serve_jobs(ServeConfig.read(config))
