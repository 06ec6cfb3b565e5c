"""Options that commands have in common, each declared and parsed here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from glob import escape, glob
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from latentscope.cli.application import Json, UsageError, Voice
from latentscope.files import check_writable

if TYPE_CHECKING:
    import pandas as pd

    from latentscope.diagnostics.study import Study


def dims_or(*words: str) -> Callable[[str], Any]:
    """Make a parser of dimensions: one of these words, or numbers such as 11,19."""

    def dims(text: str) -> Any:
        numbers = [part.strip() for part in text.split(",")]
        if text in words:
            return text
        if not all(number.isdigit() for number in numbers):
            raise typer.BadParameter(
                f"{text!r}; expected {', '.join(words)}, or numbers such as 11,19"
            )
        return [int(number) for number in numbers]

    return dims


def names(text: str) -> list[str]:
    """Parse names of columns such as radvel,Teff."""
    found = [part.strip() for part in text.split(",") if part.strip()]
    if not found:
        raise typer.BadParameter(f"{text!r}; expected names such as radvel,Teff")
    return found


def numbers(text: str) -> list[float]:
    """Parse numbers such as -2,0,2."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{text!r}; expected numbers such as -2,0,2") from None


def interval(text: str) -> tuple[float, float]:
    """Parse first:last, or first-last where no sign can be meant."""
    first, _, last = text.partition(":" if ":" in text else "-")
    try:
        found = float(first), float(last)
    except ValueError:
        found = 0.0, 0.0
    if not found[0] < found[1]:
        raise typer.BadParameter(f"{text!r}; expected first:last, ascending, such as 5160:5190")
    return found


def codes(text: str) -> Any:
    """Parse codes of missing values such as -999,99."""
    if text in ("auto", "none"):
        return text
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"{text!r}; expected auto, none, or numbers such as -999,99"
        ) from None


def option(takes: str, text: str, *flags: str, **limits: Any) -> Any:
    """Declare an option by what it takes and its help; its flag is the parameter's name."""
    return typer.Option(*flags, metavar=takes, help=text, **limits)


def whole(least: int, text: str, *flags: str) -> Any:
    """Declare an option that takes a whole number of at least that."""
    return option("N", text, *flags, min=least)


def parsed(parser: Callable[[str], Any], text: str, *flags: str) -> Any:
    """Declare an option whose value is parsed; its metavar is the parser's name."""
    return option(parser.__name__.upper(), text, *flags, parser=parser)


def complete_model(incomplete: str) -> list[str]:
    """Completions for `-m`: names of models, folders and files; loads no torch."""
    from latentscope.models.config import PUBLISHED, bundled_models

    known = [name for name in (*bundled_models(), *PUBLISHED) if name.startswith(incomplete)]
    return [*known, *sorted(glob(f"{escape(incomplete)}*"))]


def model_option(text: str) -> Any:
    """Declare `-m`, with this help."""
    return option("MODEL", text, "-m", "--model", autocompletion=complete_model)


LATENTS = ".npy, .npz, .csv, .parquet, .h5 or .fits of latents."
LABELS = ".csv, .parquet, .ecsv, .fits or .npy of labels."

Latents = Annotated[Path, typer.Argument(metavar="LATENTS", help=LATENTS)]
Labels = Annotated[Path, typer.Argument(metavar="LABELS", help=LABELS)]
OptionalLabels = Annotated[Path | None, typer.Argument(metavar="LABELS", help=LABELS)]
LabelsFile = Annotated[Path | None, typer.Option("--labels-file", help=LABELS)]
Columns = Annotated[
    Any, parsed(names, "Only these columns of LABELS: a,b. Default: all.", "--columns", "--labels")
]
Dims = Annotated[
    Any,
    parsed(
        dims_or("all", "informative"),
        "all, informative (MAD above the model's threshold), or a list: 11,19.",
        "--dims",
    ),
]
Groups = Annotated[
    str,
    option(
        "COLUMN",
        "Column that names the star: its rows are not independent. none: all rows are. "
        "auto: star, else object.",
        "--groups",
    ),
]
Key = Annotated[
    str | None,
    option(
        "NAME",
        "Array to read from .npz, .h5, .fits or .parquet, such as spectrum_embeddings.",
        "--key",
    ),
]
Model = Annotated[
    str | None,
    model_option(
        "Name (see 'latentscope models'), folder, checkpoint, https:// address or Hugging Face "
        "org/name. Default: the bundled harps-sim."
    ),
]
Seed = Annotated[int, whole(0, "Random seed.", "--seed")]
Workers = Annotated[
    int | None, whole(1, "Number of parallel workers. Default: one per core.", "--workers")
]
Dask = Annotated[
    str | None,
    option(
        "ADDRESS",
        "Scheduler of a Dask cluster that does the work, such as tcp://host:8786; local: a "
        "cluster of processes on this machine.",
        "--dask",
    ),
]
Files = Annotated[
    list[str],
    typer.Argument(
        metavar="FILES",
        help="Files, folders, quoted globs, @list.txt (a name per line), - for stdin.",
    ),
]


@dataclass(frozen=True)
class Reading:
    """How a file of a spectrum is read."""

    hdu: Annotated[
        str | None,
        option(
            "HDU[:ROW]",
            "HDU to read, by number (0 is the primary one) or EXTNAME, and its row, order or "
            "aperture.",
        ),
    ] = None
    key: Annotated[
        str | None,
        option("NAME", "Array, group or columns to read, where a file has several: wave=A,flux=B."),
    ] = None
    frame: Annotated[
        Literal["topocentric", "barycentric", "rest"] | None,
        typer.Option("--frame", help="Frame of the wavelengths; overrules the file."),
    ] = None


@dataclass(frozen=True)
class Joined:
    """Which rows are taken, and how labels are joined to them."""

    where: Annotated[
        str | None,
        option(
            "CONDITION",
            "Only rows that meet a condition on labels or the latents' table: 'Teff > 5000 "
            "and logg.notna()'.",
        ),
    ] = None
    key: Key = None
    join: Annotated[
        str | None, option("COLUMN", "Column to join on. Default: an id column both sides have.")
    ] = None
    missing: Annotated[
        Any,
        parsed(
            codes,
            "Codes of missing values in labels: -999,99. auto: values far from all others in "
            "many rows; none: keep all.",
        ),
    ] = "auto"

    def study(self, latents: Path, labels: Path | None = None, **options: Any) -> Study:
        """Read latents and labels; `options` are those of `read_study`."""
        from latentscope.data import read_latents
        from latentscope.diagnostics.study import read_study

        return read_study(
            read_latents(str(latents), self.key),
            None if labels is None else str(labels),
            join=self.join,
            missing=self.missing,
            where=self.where,
            **options,
        )


@dataclass(frozen=True)
class Rows(Joined):
    """`Joined`, and which rows show one star and which labels are classes."""

    groups: Groups = "auto"
    discrete: Annotated[Any, parsed(names, "Labels to treat as classes: a,b.")] = None
    numeric: Annotated[
        Any, parsed(names, "Labels to treat as numbers, such as a grid of Teff: a,b.")
    ] = None

    def study(self, latents: Path, labels: Path | None = None, **options: Any) -> Study:
        """Read latents, labels and stars; `options` are those of `read_study`."""
        given = {"groups": self.groups, "discrete": self.discrete, "numeric": self.numeric}
        return super().study(latents, labels, **given | options)


@dataclass(frozen=True)
class Results(Voice):
    """Where a diagnostic writes its table and its plot, and how it prints."""

    output: Annotated[
        Path | None,
        option("CSV", "Write the table as CSV, and provenance as .json.", "-o", "--output"),
    ] = None
    plot: Annotated[Path | None, option("FILE", "Save a plot (.png, .pdf, .svg).")] = None
    as_json: Json = False

    def check(self, *inputs: Path | None, beside: Iterable[str] = ()) -> None:
        """Refuse, before the work, outputs that cannot be written or that replace others' files."""
        check_plot(self.plot)
        if self.output is not None:
            check_writable(self.output)  # a folder, or an empty name, has no suffix
            for path in (self.output, *map(self._beside, beside)):
                _check_table(path, [it for it in inputs if it is not None])

    def _beside(self, name: str) -> Path:
        assert self.output is not None
        return self.output.with_suffix(f".{name}.csv")

    def give(
        self,
        result: Any,
        words: Sequence[Any],
        record: Mapping[str, Any],
        *,
        notes: Sequence[str] | None = None,
        table: pd.DataFrame | None = None,
        provenance: Mapping[str, Any] | None = None,
        beside: Mapping[str, pd.DataFrame] | None = None,
        draw: Callable[[], Any] | None = None,
        more: str = "",
    ) -> None:
        """Write tables, say words (and tables) and notes, print all as JSON, and draw.

        Notes, table, provenance and picture are the result's own unless given; each table of
        `beside` is written as OUTPUT.NAME.csv; `more` names what -o would have written. Drawing
        comes last: if it fails, everything else is there.
        """
        notes = getattr(result, "notes", ()) if notes is None else notes
        if self.output is not None:
            from latentscope.tables import write_table

            provenance = result.provenance if provenance is None else provenance
            write_table(self.output, result.table if table is None else table, provenance)
            for name, other in (beside or {}).items():
                write_table(self._beside(name), other, provenance)
        self.say(*words, *notes, *([f"-o writes {more}"] if more and self.output is None else []))
        sentences = [line for line in words if isinstance(line, str) and line]
        self.result({"sentences": sentences, "notes": notes, **record})
        if self.plot is not None:
            save_plot(self.plot, draw or result.plot)


_PICTURES = (".png", ".pdf", ".svg")
_NO_CSV = (
    *_PICTURES,
    ".json",
    ".html",
    ".npy",
    ".npz",
    ".parquet",
    ".h5",
    ".hdf5",
    ".fits",
    ".xml",
)


def check_plot(path: Path | None, flag: str = "--plot") -> None:
    """Refuse, before the work, a picture of another format or one that cannot be written."""
    if path is None:
        return
    if path.suffix.lower() not in _PICTURES:
        raise UsageError(f"{flag} is {path}; expected a name that ends in {', '.join(_PICTURES)}")
    check_writable(path)


def save_plot(path: Path, draw: Callable[[], Any]) -> None:
    """Write the picture that `draw` makes."""
    from latentscope.plots.style import save_figure

    save_figure(draw(), path)


def _check_table(output: Path, inputs: list[Path]) -> None:
    """Refuse to write a table or its provenance over inputs, what belongs to them, or latents."""
    if output.suffix.lower() in _NO_CSV:
        raise UsageError(
            f"-o is {output}, and the table is written as CSV; expected a name such as "
            f"{output.with_suffix('.csv')}"
        )
    provenance = output.with_suffix(".json")
    check_writable(output)
    check_writable(provenance)
    written = {output.resolve(), provenance.resolve()}
    for path in inputs:
        siblings = (path, path.with_suffix(".csv"), path.with_suffix(".json"))
        if written & {sibling.resolve() for sibling in siblings}:
            raise UsageError(f"-o {output} would replace {path} or a file that belongs to it")
    from latentscope.data import is_sidecar
    from latentscope.tables import provenance_beside

    theirs = [output] if is_sidecar(output) else []
    if provenance.exists() and provenance_beside(output) is None:
        theirs.append(provenance)
    if theirs:
        raise UsageError(
            f"-o {output} would replace {theirs[0]}, which no earlier run wrote; give another name"
        )
