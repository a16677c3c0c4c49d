"""Moments: a column of dates as numbers that compare."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from siamese.schema import as_text

LEAST = np.iinfo(np.int64).min  # of a record without a date


@dataclass(frozen=True)
class Moments:
    """When n records were written, all (n,).

    Attributes:
        since: microseconds since 1970; LEAST where there is none.
        wrong: what is there is no date.
        whole: the numbers, where all that is there are whole numbers (seconds, versions, years).
    """

    since: NDArray[np.int64]
    wrong: NDArray[np.bool_]
    whole: NDArray[np.int64] | None

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> "Moments":
        column = column.combine_chunks()
        if pa.types.is_date(column.type) or pa.types.is_timestamp(column.type):
            moments = column.cast(pa.timestamp("us", getattr(column.type, "tz", None)), safe=False).cast(pa.int64())
            return cls(pc.fill_null(moments, LEAST).to_numpy(False), np.zeros(len(column), bool), None)
        texts = as_text(column)
        known = texts.is_valid().to_numpy(False)
        texts = pc.utf8_trim_whitespace(texts)
        whole = None
        if pc.all(pc.match_substring_regex(texts, r"^-?\d{1,18}$")).as_py() is not False:
            whole = pc.fill_null(texts.cast(pa.int64()), LEAST).to_numpy(False)
        # Finer than microseconds, pandas would know the years from 1677 to 2262 alone, and 9999-12-31 is a date that people write.
        texts = pc.replace_substring_regex(texts, r"(\.\d{6})\d+", r"\1")
        parsed = pd.to_datetime(texts.to_pandas(), format="ISO8601", utc=True, errors="coerce")
        since = parsed.dt.tz_localize(None).to_numpy().astype("datetime64[us]").astype(np.int64)
        wrong = parsed.isna().to_numpy() & known
        return cls(np.where(known & ~wrong, since, LEAST), wrong, whole)

    @property
    def order(self) -> NDArray[np.int64]:
        """The greater, the newer."""
        return self.since if self.whole is None else self.whole
