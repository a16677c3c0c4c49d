"""What the command export prints for people."""

from typing import Any

from flows.show import figures


def exported(tables: dict[str, Any], out: str) -> None:
    rows = []
    for written in tables.values():
        said = [f"{written['rows']:,} rows"]
        if written["sheets"] > 1:
            said.append(f"in {written['sheets']} sheets or files, as one holds no more than 1,048,576")
        if written["neutralised"]:
            said.append(f"{written['neutralised']:,} cells like formulas have a ' before them")
        if written["controls"]:
            said.append(f"{written['controls']:,} cells have control characters spelled out")
        if written["shortened"]:
            said.append(f"{written['shortened']:,} cells of over 32,767 characters are shortened, and say so")
        rows.append((", ".join(written["files"]), "; ".join(said)))
    figures(f"Exported to {out}", rows)
