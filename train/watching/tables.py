"""CSV files of a run, with a step in the first column, that go on after an interruption."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from latentscope.errors import TableError
from latentscope.files import atomic_path


class StepTable:
    """A CSV file whose rows belong to steps of a run.

    Parameters
    ----------
    path : Path
        Made when the first rows come.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def cut(self, step: int) -> None:
        """Drop the rows of `step` and later ones, and a line that was not written to its end.

        Raises
        ------
        TableError
            If the file does not have steps in its first column.
        """
        if not self.path.exists():
            return
        header, *lines = self.path.read_text("utf-8").splitlines(keepends=True) or [""]
        if not header.startswith("step,"):
            raise TableError(
                f"{self.path}: begins with {header[:40]!r}; wanted a table that this run wrote, "
                "with `step` first; move the file away"
            )
        kept = [line for line in lines if line.endswith("\n") and int(line.split(",")[0]) < step]
        if len(kept) < len(lines):
            with atomic_path(self.path) as temporary:
                temporary.write_text("".join([header, *kept]), "utf-8")

    def add(self, rows: pd.DataFrame) -> None:
        """Append rows, `step` their first column; the file takes up columns it did not have."""
        if not self.path.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            rows.to_csv(self.path, index=False)
            return
        with self.path.open(encoding="utf-8") as file:
            columns = pd.read_csv(file, nrows=0).columns
        if columns.equals(rows.columns):
            with self.path.open("a", encoding="utf-8", newline="") as file:
                file.write(rows.to_csv(index=False, header=False))
            return
        whole = pd.concat([pd.read_csv(self.path), rows])
        with atomic_path(self.path) as temporary:
            whole.to_csv(temporary, index=False)
