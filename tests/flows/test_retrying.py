"""What is tried again, and when."""

import errno
import json

import pytest
from prefect.flow_engine import FlowRunTimeoutError

from flows.retrying import is_storage_fault, retry
from siamese.errors import DataError, OutputError


def caused_by(cause: BaseException) -> DataError:
    error = DataError("cannot open 's3://bucket/records.parquet'")
    error.__cause__ = cause
    return error


def handled(cause: BaseException) -> OutputError:
    """An error that came while another one was dealt with."""
    try:
        try:
            raise cause
        except BaseException:
            raise OutputError("cannot write 's3://bucket/run'")  # noqa: B904
    except OutputError as error:
        return error


def from_botocore(name: str) -> BaseException:
    exceptions = pytest.importorskip("botocore.exceptions")
    return getattr(exceptions, name)(endpoint_url="http://127.0.0.1:9", error="refused")


FAULTS = [
    ConnectionResetError("reset"),
    TimeoutError("timed out"),
    OSError(errno.EIO, "Input/output error"),
    OSError(errno.ESTALE, "Stale file handle"),
    caused_by(ConnectionRefusedError("refused")),
    caused_by(caused_by(OSError(errno.EHOSTUNREACH, "No route to host"))),
    handled(ConnectionResetError("reset")),
]
MISTAKES = [
    DataError("no such file"),
    caused_by(FileNotFoundError(errno.ENOENT, "No such file")),
    PermissionError(errno.EACCES, "Permission denied"),
    OSError(errno.ENOSPC, "No space left on device"),
    caused_by(json.JSONDecodeError("no", "", 0)),
    ValueError("x"),
    FlowRunTimeoutError("the time is over"),
]


@pytest.mark.parametrize("error", FAULTS, ids=repr)
def test_storage_faults(error: BaseException) -> None:
    assert is_storage_fault(error)


@pytest.mark.parametrize("name", ["EndpointConnectionError", "ReadTimeoutError", "ConnectTimeoutError"])
def test_storage_faults_of_s3(name: str) -> None:
    assert is_storage_fault(caused_by(from_botocore(name)))


@pytest.mark.parametrize("error", MISTAKES, ids=repr)
def test_what_does_not_mend_itself(error: BaseException) -> None:
    assert not is_storage_fault(error)


def test_it_waits_twice_as_long_each_time() -> None:
    faults, waits, said = [ConnectionError("one"), TimeoutError("two")], [], []

    def work() -> str:
        if faults:
            raise faults.pop(0)
        return "done"

    assert retry(work, 3, 10.0, said.append, waits.append) == "done"
    assert waits == [10.0, 20.0]
    assert said[1] == "storage failed (two): trying again in 20 s, 2 times more"


@pytest.mark.parametrize(("error", "calls"), [(ConnectionError("gone"), 3), (DataError("wrong"), 1)])
def test_it_ends_with_the_error(error: Exception, calls: int) -> None:
    done = []

    def work() -> None:
        done.append(1)
        raise error

    with pytest.raises(type(error)) as raised:
        retry(work, 2, 0.0, lambda _: None, lambda _: None)
    assert raised.value is error and len(done) == calls
