"""Serving: jobs of a config, each run by Prefect on its schedule, until the process is stopped."""

import logging
import socket
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import Annotated, Any

from prefect import serve
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ParameterTypeError
from prefect.settings import get_current_settings, temporary_settings
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from flows.embedded import ApiServer
from flows.scheduled import RETRIES, RETRY_DELAY_SECONDS, FlowName, flow_of, scheduled
from siamese.errors import SettingsError, reason
from siamese.settings import explain


class Job(BaseModel):
    """One flow with its parameters and its schedule."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    flow: FlowName
    cron: str  # five fields; a sixth one is seconds
    timezone: str = "UTC"  # of the schedule: an IANA name, such as Europe/Berlin
    timeout_seconds: float | None = Field(None, gt=0)  # after which a run fails
    retries: int = Field(RETRIES, ge=0)  # of a run that storage failed
    retry_delay_seconds: float = Field(RETRY_DELAY_SECONDS, ge=0)  # before the first; twice as long before each other
    parameters: dict[str, Any] = {}  # of the flow, as in Python

    @model_validator(mode="after")
    def _fits(self) -> "Job":
        _ = self.schedule
        known = signature(flow_of(self.flow).fn).parameters
        for name in self.parameters.keys() - known.keys():
            raise ValueError(f"the flow {self.flow} has no parameter '{name}': expected some of {', '.join(known)}")
        for name, parameter in known.items():
            if parameter.default is parameter.empty and name not in self.parameters:
                raise ValueError(f"the flow {self.flow} needs the parameter '{name}'")
        try:
            with _unsaid("prefect.flows"):  # it would log the parameters, whatever is in them
                flow_of(self.flow).validate_parameters(self.parameters)
        except ParameterTypeError as error:
            raise ValueError(
                f"a parameter does not fit the flow {self.flow}: {' '.join(str(error).split())}"
            ) from error
        return self

    @property
    def schedule(self) -> CronSchedule:
        return CronSchedule(cron=self.cron, timezone=self.timezone)


@contextmanager
def _unsaid(name: str) -> Iterator[None]:
    log = logging.getLogger(name)
    was, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = was


class ServeConfig(BaseSettings):
    """What ``siamese serve`` runs: TOML, over which the environment wins (``SIAMESE_SERVE_PORT=4201``).

    Example::

        port = 4200
        [jobs.nightly]
        flow = "dedupe"
        cron = "0 2 * * *"
        timezone = "Europe/Berlin"
        timeout_seconds = 7200
        [jobs.nightly.parameters]
        model = "model"
        records = "records/*.parquet"
        out = "run"
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="SIAMESE_SERVE_", env_nested_delimiter="__"
    )
    port: int = Field(4200, ge=0, le=65535)  # of the server that is started here where no other is set; 0: a free one
    limit: int = Field(1, ge=1)  # runs at a time, of all jobs together
    jobs: Annotated[dict[str, Job], Field(min_length=1)]

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings

    @classmethod
    def read(cls, path: Path) -> "ServeConfig":
        """A config file.

        Raises:
            SettingsError: it cannot be read, or does not do; every job is checked against its flow here and not at night.
        """
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
            for name in content:
                if name.startswith("_"):  # an option of pydantic's own
                    raise SettingsError(f"'{path}': there is no setting '{name}'")
            return cls(**content)
        except ValidationError as error:
            raise SettingsError(f"'{path}': {explain(error)}") from error
        except (OSError, ValueError, RecursionError) as error:  # of the file, or of what the environment holds
            raise SettingsError(f"cannot read the config '{path}': {reason(error)}") from error


def serve_jobs(config: ServeConfig) -> None:
    """Run the jobs on their schedules until the process is told to stop.

    Schedules are those of this process: when it stops they are paused, and when it starts they are as the config says. No run of a
    killed process holds others up: what keeps two from writing one folder is the lock of :mod:`pipeline.resuming`, not the server.
    """
    with scheduling_server(config.port) as url:
        print(
            f"{url}: {', '.join(f'{name} ({job.flow}, {job.cron})' for name, job in config.jobs.items())}", flush=True
        )
        serve(
            *(deployment(name, job) for name, job in config.jobs.items()),
            limit=config.limit,
            print_starting_message=False,
        )


def deployment(name: str, job: Job) -> RunnerDeployment:
    deployed = scheduled.to_deployment(
        name,
        schedules=[job.schedule],
        parameters={
            "flow_name": job.flow,
            "parameters": job.parameters,
            "timeout_seconds": job.timeout_seconds,
            "retries": job.retries,
            "retry_delay_seconds": job.retry_delay_seconds,
        },
        tags=["siamese", job.flow],
    )
    assert isinstance(deployed, RunnerDeployment)  # no coroutine: we are sync
    return deployed


@contextmanager
def scheduling_server(port: int) -> Iterator[str]:
    """A Prefect server whose schedules fire: the one that is set up (PREFECT_API_URL, profile), else one in this process; its URL.

    One in this process ends with it, however it ends; its history is in Prefect's home, where the next one finds it.

    Raises:
        SettingsError: the port is taken.
    """
    settings = get_current_settings()
    if settings.api.url:
        yield settings.api.url
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise SettingsError(
                f"port {port} of this machine is taken: if a Prefect server is there, set PREFECT_API_URL=http://127.0.0.1:{port}/api; "
                "else set another port in the config (port = 4201)"
            ) from error
    server = ApiServer(settings, port, schedules=True)
    with temporary_settings(updates={"api.url": server.url}):
        yield server.url
