"""The scripted week of ``make soak``, in short; what it promises it asserts itself."""

import shutil
from pathlib import Path

import pytest

from tests.flows.command import Made
from tests.scripts import script


@pytest.fixture(scope="module")
def soak():
    return script("soak")


def spend(soak, made: Made, folder: Path, nights: list[str]) -> list:
    shutil.copytree(made.model, folder / "model")
    return soak.soak(folder, 300, 1, nights, 15.0)


def test_a_drifted_night_and_the_one_after(soak, made: Made, tmp_path: Path) -> None:
    first, drifted, after = spend(soak, made, tmp_path, ["drifted", "plain"])
    assert drifted.drift == "stop: held" and after.drift in ("quiet", "warn")
    assert after.added > drifted.added and after.records > first.records
    assert after.new_embeddings <= after.added + after.edited
    assert "| 2, plain |" in soak.table([first, drifted, after])


@pytest.mark.slow
def test_a_week(soak, made: Made, tmp_path: Path) -> None:
    nights = spend(soak, made, tmp_path, soak.WEEK)
    print(soak.table(nights))
    assert len(nights) == 8 and [each.drift for each in nights].count("stop: held") == 1


def test_two_nights_as_one(soak) -> None:
    import pandas as pd

    late = pd.DataFrame({"record_id": ["a", "b"], "x": [1, 1]}), pd.DataFrame({"record_id": ["c"]})
    tonight = pd.DataFrame({"record_id": ["b", "c", "d"], "x": [2, 2, 2]}), pd.DataFrame({"record_id": ["a"]})
    changed, gone = soak.with_late(*tonight, late)
    assert changed.set_index("record_id")["x"].to_dict() == {"b": 2, "d": 2} and set(gone["record_id"]) == {"a", "c"}
