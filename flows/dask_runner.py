"""Prefect's Dask task runner, which leaves nothing of a run unsaid on the workers."""

import logging
import socket
from typing import Any
from urllib.parse import urlsplit

from distributed import Client
from prefect.settings import get_current_settings
from prefect_dask import DaskTaskRunner

from flows.embedded import drain
from siamese.errors import SettingsError, reason

CONNECT_SECONDS = 5.0


class DaskRunner(DaskTaskRunner):
    """Blocks on the processes of a Dask cluster. One that a worker is killed over is done again by another."""

    @classmethod
    def local(cls, workers: int) -> "DaskRunner":
        """On a cluster of this machine, made when the first blocks are there, which ends with the run."""
        _quiet()
        cluster = {
            "n_workers": workers,
            "threads_per_worker": 1,
            "memory_limit": 0,  # mapped files count as a worker's memory, though the kernel takes theirs back when it is short
            "dashboard_address": "127.0.0.1:0",  # any free port
            "env": get_current_settings().to_environment_variables(exclude_unset=True),  # no worker starts a server
        }
        return cls(cluster_kwargs=cluster)

    @classmethod
    def at(cls, address: str, patience: float) -> "DaskRunner":
        """On a cluster that is there.

        Args:
            address: of its scheduler.
            patience: seconds that it has to answer.

        Raises:
            SettingsError: it does not, or its workers cannot do our blocks. (Prefect would say so only at the first of them.)
        """
        _quiet()
        try:
            client = Client(address, timeout=patience, set_as_default=False)
        except (OSError, ValueError) as error:
            raise SettingsError(f"no Dask scheduler answers at '{address}': {reason(error)}") from error
        with client:
            _check_workers(client, address)
        return cls(address=address)

    def __exit__(self, *args: Any) -> None:
        if (
            self._client is not None
        ):  # else the workers' websockets stay open, and the embedded server waits for their end
            self._client.run(drain, on_error="ignore")
        super().__exit__(*args)


def _check_workers(client: Client, address: str) -> None:
    """Refuse workers that lack this package, or are on other machines than an API that answers to this one alone."""
    api = urlsplit(get_current_settings().api.url or "")
    answers = client.run(can_connect, api.hostname, api.port, on_error="return")
    for worker, answer in answers.items():
        if isinstance(answer, BaseException):
            raise SettingsError(f"the Dask worker at '{worker}' cannot do our blocks: {reason(answer)}")
        if not answer and api.hostname in ("127.0.0.1", "localhost"):
            raise SettingsError(
                f"the workers at '{address}' do not reach Prefect's API, which is in this process: start one that they reach "
                "(prefect server start) and set PREFECT_API_URL to it"
            )


def can_connect(host: str | None, port: int | None) -> bool:
    """Whether something listens there."""
    try:
        socket.create_connection((host or "", port or 0), CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def _quiet() -> None:
    """Prefect's root logger would print Dask's every step."""
    logging.getLogger("distributed").setLevel(logging.WARNING)
