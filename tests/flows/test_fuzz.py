"""A few hundred fuzzed inputs; ``make faults`` tries more than ten thousand."""

import logging
import tempfile
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.matcher import Matcher
from siamese.errors import SiameseError
from tests import fuzzing
from tests.flows.command import Made

pytestmark = pytest.mark.filterwarnings("ignore")
SEEDS = st.integers(0, 2**32)


def refused_or_read(check, seed: int, *more: object) -> None:
    logging.getLogger("siamese").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as place:
        try:
            check(Random(seed), Path(place), *more)
        except SiameseError as error:
            assert str(error).strip() and "\n" not in str(error).strip()[:200]
        finally:
            logging.getLogger("siamese").setLevel(logging.NOTSET)


@pytest.mark.parametrize("name", fuzzing.CHECKS)
def test_what_is_read_holds_and_what_is_not_is_refused(name: str) -> None:
    @settings(max_examples=60, derandomize=True)
    @given(SEEDS)
    def check(seed: int) -> None:
        refused_or_read(fuzzing.CHECKS[name], seed)

    check()


def test_queries(made: Made) -> None:
    matcher = Matcher.load(made.index)

    @settings(max_examples=60, derandomize=True)
    @given(SEEDS)
    def check(seed: int) -> None:
        refused_or_read(fuzzing.query, seed, matcher)

    check()
