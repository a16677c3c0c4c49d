"""Records in text files as people have them."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from pipeline.pairs import read_id_pairs
from pipeline.records import Records, conformed
from siamese.errors import DataError

TABLE = pd.DataFrame(
    {"record_id": ["1", "2"], "name; or, title": ["a,b;c\td|e", 'says "x"\nand y'], "price": ["1,50", None]}
)


@pytest.mark.parametrize(
    ("delimiter", "suffix"), [(",", "csv"), (";", "csv"), ("\t", "csv"), ("|", "csv"), ("\t", "tsv")]
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_columns_are_parted_by_what_the_header_has_most_of(
    delimiter: str, suffix: str, line_end: str, tmp_path: Path
) -> None:
    path = tmp_path / f"records.{suffix}"
    TABLE.to_csv(path, sep=delimiter, index=False, lineterminator=line_end, encoding="utf-8-sig")
    records = Records.open(str(path))
    [batch] = records.batches()
    assert batch.to_pylist() == TABLE.astype(object).where(TABLE.notna(), None).to_dict("records")
    pairs = tmp_path / f"pairs.{suffix}"
    pairs.write_text(delimiter.join(("left_id", "right_id")) + line_end + delimiter.join("12"))
    assert read_id_pairs(str(pairs)).to_pydict() == {"left_id": ["1"], "right_id": ["2"]}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_quoted_names_part_columns_too(delimiter: str, tmp_path: Path) -> None:
    """As R writes them: not the commas of the rows below do."""
    rows = [["record_id", "a name, quoted"], ["1", "Doe, J, Jr; Sr"]]
    text = "\ufeff" + "".join(delimiter.join(f'"{value}"' for value in row) + "\n" for row in rows)
    (tmp_path / "quoted.csv").write_text(text)
    [batch] = Records.open(str(tmp_path / "quoted.csv")).batches()
    assert batch.to_pylist() == [{"record_id": "1", "a name, quoted": "Doe, J, Jr; Sr"}]


def test_one_column_needs_nothing_to_part_it(tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_text("record_id\n1\n2\n")
    assert Records.open(str(tmp_path / "ids.csv")).ids().to_pylist() == ["1", "2"]


def test_another_encoding_is_named(tmp_path: Path) -> None:
    TABLE.to_csv(tmp_path / "records.csv", index=False, encoding="utf-16")
    with pytest.raises(
        DataError, match=r"records\.csv' is not a whole CSV file: it is text in UTF-16: save it as UTF-8"
    ):
        Records.open(str(tmp_path / "records.csv"))


def test_a_column_of_numbers_here_and_text_there_is_text_in_all(tmp_path: Path) -> None:
    """Whichever file comes first: a postcode keeps its leading zero."""
    numbers = pd.DataFrame({"record_id": ["1", "2"], "postcode": [4711, 815], "n": [1, 2], "tags": [["a", "b"], []]})
    numbers["only"] = [7, 8]  # the other file lacks it: numbers all the same
    texts = pd.DataFrame({"record_id": ["3", "4"], "postcode": ["0323", ""], "n": [1.5, None], "tags": ["c", None]})
    for first, second in ((numbers, texts), (texts, numbers)):
        first.to_parquet(tmp_path / "1.parquet")
        second.to_parquet(tmp_path / "2.parquet")
        records = Records.open(str(tmp_path))
        schema = records.schema()
        table = pa.concat_tables([conformed(batch, schema) for batch in records.batches()])
        found = {row["record_id"]: row for row in table.to_pylist()}
        assert [found[each]["postcode"] for each in "1234"] == ["4711", "815", "0323", ""]
        assert [found[each]["n"] for each in "1234"] == [1, 2, 1.5, None]
        assert [found[each]["only"] for each in "1234"] == [7, 8, None, None]
        assert found["3"]["tags"] == "c" and found["1"]["tags"] == "a, b"
