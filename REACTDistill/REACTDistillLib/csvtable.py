"""Tables of results as CSV text, with the notice in each row: a row that is copied elsewhere still says it."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from typing import Any

Row = Sequence[Any]


def csv_table(columns: Sequence[str], rows: Iterable[Row], notice: str) -> bytes:
    """The table in UTF-8 with line ends as RFC 4180 has them; the last column is ``notice``."""
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow([*columns, "notice"])
    table.writerows([*row, notice] for row in rows)
    return text.getvalue().encode()


def cell(value: float) -> float | str:
    """Six decimals; nothing where there is no number."""
    return "" if math.isnan(value) else round(float(value), 6)
