"""Where a command's table and picture go: checked before the work, written after it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentscope.cli.application import UsageError
from latentscope.files import write_json

if TYPE_CHECKING:
    import pandas as pd

_PICTURES = (".png", ".pdf", ".svg")


def check_outputs(output: Path | None, plot: Path | None, *inputs: Path) -> None:
    """Refuse, before the work, to write over an input or what belongs to it, or an odd picture."""
    if plot is not None and plot.suffix.lower() not in _PICTURES:
        raise UsageError(f"--plot is {plot}; wanted a name that ends in {', '.join(_PICTURES)}")
    if output is None:
        return
    written = {output.resolve(), output.with_suffix(".json").resolve()}
    for path in inputs:
        siblings = (path, path.with_suffix(".csv"), path.with_suffix(".json"))
        if written & {sibling.resolve() for sibling in siblings}:
            raise UsageError(f"-o {output} would replace {path} or a file that belongs to it")
    if output.suffix.lower() == ".json":
        raise UsageError(
            f"-o is {output}, where the provenance goes; wanted a name such as "
            f"{output.with_suffix('.csv')} for the table"
        )


def write_table(output: Path | None, table: pd.DataFrame, provenance: Mapping[str, Any]) -> None:
    """Write the table as CSV and its provenance as .json beside it; nothing without `output`."""
    if output is None:
        return
    from latentscope.files import atomic_path

    with atomic_path(output) as temporary:
        table.to_csv(temporary, index=False)
    write_json(output.with_suffix(".json"), provenance)
