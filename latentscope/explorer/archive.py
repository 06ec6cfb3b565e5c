"""What the explorer shows: latents with labels, the model that made them, and what both know."""

from __future__ import annotations

import io
import os
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from latentscope.data import LabelsLike, Latents, LatentsLike, spectrum_path
from latentscope.diagnostics.activity import mad
from latentscope.diagnostics.meaning import dimension_meanings
from latentscope.diagnostics.mi.api import mi_matrix
from latentscope.diagnostics.probe import unit_of
from latentscope.diagnostics.retrieval import Retriever
from latentscope.diagnostics.study import Study, read_study
from latentscope.diagnostics.threshold import with_threshold
from latentscope.diagnostics.traversal.lines import COLOR_NOTICED, noticed_elements
from latentscope.diagnostics.trust import score_against
from latentscope.diagnostics.trust_reference import Reference
from latentscope.errors import LatentscopeError, LatentscopeWarning, SpectrumError, printable, warn
from latentscope.explorer.arrays import Floats, Singles
from latentscope.files import expanded
from latentscope.models.reconstruction import on_grid
from latentscope.plots.pairs import LabelColors, label_colors
from latentscope.plots.spectrum import rest_lines
from latentscope.plots.style import label_title
from latentscope.spectra.prepare import prepare
from latentscope.spectra.read import Reading, read_spectrum
from latentscope.spectra.spectrum import Spectrum
from latentscope.tables import file_id, names_row

if TYPE_CHECKING:
    from latentscope.models.network import SpectrumVAE
    from latentscope.models.weights import ModelLike

MOST_DIMS = 32
"""Sliders at most, those of the widest dimensions; the others have a box."""

LARGEST_UPLOAD = 64 * 1024 * 1024
"""Bytes of an uploaded file."""

_ROWS_OF_MI = 3000
_RANGE = (0.005, 0.995)  # quantiles of the data that a slider spans
_SIGMA = (0.16, 0.84)
_ROWS_OF_QUANTILES = 20_000
_OF_ROWS = ("snr", "airmass", "berv", "resolution", "recon_error", "trust", "verdict")
_ALIKE = 0.5  # spreads
_MOST_LABELS = 12  # beside a match


@dataclass(frozen=True)
class Known:
    """What a dimension knows and does, in words: name, sentence, and km/s per sigma (or NaN)."""

    name: str
    does: str = ""
    kms: float = float("nan")


@dataclass(frozen=True, eq=False)
class Shown:
    """A spectrum on the page.

    `latents` has one row, with the columns that name it and its star; `row` is its place in the
    archive, -1 for one that is not in it. `flux` (pixels,) is on the model's grid over its median,
    NaN where there is none; `note` says why there is no flux.
    """

    title: str
    latents: Latents
    row: int = -1
    flux: Singles | None = None
    facts: Sequence[str] = ()
    trust: str = ""
    note: str = ""

    @property
    def values(self) -> Floats:
        """Its latents, shape (d,)."""
        return np.asarray(self.latents.values[0], dtype=np.float64)


class Archive:
    """What all who look at the page share; none of it changes but `known`, which is learned.

    Without the model that made the latents there are a map and neighbors, but no spectra. `spectra`
    is the folder of the files, which are by default where the latents' table says.

    `dims` have a slider, the most informative first, and `known` is what is known of each so far;
    `mean`, `sigma`, `low` and `high` (d,) are the mean of the data, half the distance of the 16 %
    and 84 % quantiles, and the span of a slider.
    """

    def __init__(
        self, study: Study, model: SpectrumVAE | None = None, spectra: Path | None = None
    ) -> None:
        if model is not None:
            from latentscope.models.weights import check_made_by

            check_made_by(model, study.latents)
            study = replace(study, latents=with_threshold(study.latents, model.info))
        self.study, self.latents, self.model = study, study.latents, model
        self.folder = spectra
        finite = np.flatnonzero(self.latents.ok)
        if len(finite) < 2:
            raise LatentscopeError(
                f"{self.latents.source}: {len(finite)} of {len(self.latents)} rows are finite; "
                "expected two or more"
            )
        every = -(-len(finite) // _ROWS_OF_QUANTILES)
        some = np.asarray(self.latents.values[finite[::every]], dtype=np.float64)
        self.mean = some.mean(axis=0)
        self.low, self.high = np.quantile(some, _RANGE, axis=0)
        below, above = np.quantile(some, _SIGMA, axis=0)
        self.sigma = np.where(above > below, (above - below) / 2, 1.0)
        deviations = study.deviations
        informative = study.informative or [int(np.argmax(deviations))]
        self.dims = sorted(informative, key=lambda dim: -deviations[dim])[:MOST_DIMS]
        self.known = {dim: Known(f"dim {dim}") for dim in self.dims}
        self._learning = threading.Thread(target=self._learn, daemon=True)
        self._learned, self._told = False, list[Callable[[], None]]()
        self._lock = threading.Lock()
        if model is not None:
            from latentscope.models.traversal import decoder_of

            self.decoder = decoder_of(model)

    @property
    def title(self) -> str:
        """What the page is about."""
        by = "" if self.model is None else f", encoded by {self.model.info.get('name', 'a model')}"
        return f"{len(self.latents):,} spectra{by}"

    # What each dimension knows and does takes seconds, for which no picture should wait.

    def learn(self, wait: bool = False) -> None:
        """Begin to find out what each dimension knows and does; `wait` until it is known."""
        with self._lock:
            if self._learning.ident is None:
                self._learning.start()
        if wait:
            self._learning.join()

    def when_known(self, tell: Callable[[], None]) -> None:
        """Call `tell` as soon as all is known, from another thread; never where it is already."""
        with self._lock:
            if not self._learned:
                self._told.append(tell)

    def forget(self, tell: Callable[[], None]) -> None:
        """Call `tell` no more."""
        with self._lock:
            if tell in self._told:
                self._told.remove(tell)

    def _learn(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Names are a help, and the page lives without them.
            with suppress(LatentscopeError):
                self._name()
            with suppress(LatentscopeError):
                self._describe()
        with suppress(LatentscopeError):
            _ = self.retriever
        with self._lock:
            self._learned = True
            told, self._told = self._told, []
        for tell in told:
            tell()

    def _name(self) -> None:
        """Name each dimension by the label it knows most about, the best known first."""
        if self.study.labels is None:
            return
        finite, rng = np.flatnonzero(self.latents.ok), np.random.default_rng(0)
        if len(finite) > _ROWS_OF_MI:
            finite = np.sort(rng.choice(finite, _ROWS_OF_MI, replace=False))
        sample = self.study.take(finite)
        found = dimension_meanings(
            sample.latents.values,
            sample.label_table,
            mad(sample),
            mi_matrix(sample, dims=self.dims),
        )
        for one in found:
            if one.dim in self.known and one.label is not None:
                name = f"{one.dim}: {one.label}, {one.mi_nats:.2g} nats"
                self.known[one.dim] = replace(self.known[one.dim], name=name)
        best = [one.dim for one in found if one.dim in self.known and one.label is not None]
        self.dims = best + [dim for dim in self.dims if dim not in best]

    def _describe(self) -> None:
        """Say what each dimension does to the lines."""
        if self.model is None:
            return
        from latentscope.models.traversal import line_map

        moved = [dim for dim in self.dims if self.high[dim] > self.low[dim]]
        found = line_map(self.model, latents=self.latents, dims=moved)
        for row in found.dims.to_dict("records"):
            dim = int(row["dim"])
            kms = float(row["rv_kms_per_sigma"]) if row["verdict"] == "shift" else float("nan")
            words = _does(row, found.lines_of(dim))
            self.known[dim] = replace(self.known[dim], does=words, kms=kms)

    # Spectra

    @property
    def _prepare(self) -> Any:
        assert self.model is not None
        return self.model.prepare

    @property
    def grid(self) -> Any:
        """The model's wavelengths, with their medium and frame."""
        return self._prepare.grid

    @cached_property
    def wavelength(self) -> Floats:
        """Of the model's pixels, in its own medium, Angstrom."""
        wavelength: Floats = self.grid.wavelength
        return wavelength

    @property
    def axis(self) -> str:
        """What the wavelengths are."""
        return f"wavelength (Å, {self.grid.medium}, {self.grid.frame})"

    @cached_property
    def lines(self) -> list[tuple[str, float]]:
        """Names and wavelengths of known lines on the axis, at rest, ascending; no bands."""
        first, last = self.wavelength[0], self.wavelength[-1]
        found = rest_lines(self.grid.medium)
        return [(line.name, at) for line, at in found if first <= at <= last]

    def decoded(self, values: Floats) -> Singles:
        """Spectrum that latents (d,) stand for, over its median, (pixels,); NaN in gaps."""
        flux = np.array(self.decoder.flux(values[None])[0], dtype=np.float32)
        flux[self.grid.gap_mask] = np.nan
        return flux

    @cached_property
    def middle(self) -> int:
        """Row whose latents are nearest to the mean: what the page begins with."""
        dims = np.array(self.dims)
        apart = (self.latents.values[:, dims] - self.mean[dims]) / self.sigma[dims]
        return int(np.nanargmin((apart * apart).sum(axis=1)))

    def average(self) -> Shown:
        """The mean of the archive's latents."""
        return Shown("the mean of all spectra", Latents(self.mean[None]), note="decoded only")

    def shown(self, row: int) -> Shown:
        """A spectrum of the archive; SpectrumError if its row is NaN."""
        latents = self.latents.take(np.array([row]))
        names = [latents.column(name) for name in ("object", "id")]
        title = ", ".join(dict.fromkeys(str(n[0]) for n in names if n is not None and n[0] == n[0]))
        if not self.latents.ok[row]:
            raise SpectrumError(f"{title or f'row {row}'}: it has no latents, its row is NaN")
        flux, note = None, ""
        if self.model is not None:
            try:
                flux = self.on_grid(read_spectrum(self._file(row), **vars(self._reading)))
            except (LatentscopeError, OSError) as error:
                note = str(error)
        facts, trust = self.facts(row), self._trust(latents)
        return Shown(title or f"row {row}", latents, row, flux, facts, trust, note)

    def uploaded(self, name: str, data: bytes) -> Shown:
        """Read and encode a file that somebody sent; it is data, whatever its name says.

        A SpectrumError, with the reader's words, if it holds none that the model can take.
        """
        from latentscope.models.queries import encode_queries

        name = printable(Path(name.replace("\\", "/")).name) or "the file"
        if len(data) > LARGEST_UPLOAD:
            raise SpectrumError(f"{name}: {len(data) / 1e6:.0f} MB; expected 64 MB at most")
        stream = io.BytesIO(data)
        stream.name = name
        spectrum = read_spectrum(stream, **vars(self._reading))
        latents = encode_queries([spectrum], self.latents, self.model, workers=1)
        assert latents.table is not None
        if not latents.ok[0]:
            raise SpectrumError(str(latents.table["error"][0]))
        target = str(spectrum.meta.get("object") or "")
        title = f"{target}, {name}" if target else name
        flux = self.on_grid(spectrum)
        return Shown(title, latents, -1, flux, ["uploaded"], self._trust(latents))

    def on_grid(self, spectrum: Spectrum) -> Singles:
        """Flux over its median at the model's pixels, (pixels,); NaN where there is none."""
        prepared = prepare(spectrum, self._prepare)
        return on_grid(prepared.row, prepared.valid, self._prepare)

    @cached_property
    def _reading(self) -> Reading:
        return Reading.of(self.latents.provenance)

    @cached_property
    def _files(self) -> dict[str, Path]:
        """Files of the folder, by their name without suffixes."""
        assert self.folder is not None
        paths = (Path(top) / name for top, _, names in os.walk(self.folder) for name in names)
        return {file_id(str(path)): path for path in sorted(paths, reverse=True)}

    def _file(self, row: int) -> Path:
        """File of a row: in the folder where one was given, and nowhere else."""
        file, name = (self.latents.column(column) for column in ("file", "id"))
        given = next(
            (str(it[row]) for it in (file, name) if it is not None and it[row] == it[row]), ""
        )
        if self.folder is not None:
            path = self._files.get(file_id(given))
        else:
            path = spectrum_path(given, self.latents.source)
        if path is None:
            where = self.folder or "its folder; --spectra DIR names another"
            raise SpectrumError(f"{given or f'row {row}'}: no such file in {where}")
        return path

    def facts(self, row: int) -> list[str]:
        """Labels of a row, each in words."""
        if self.study.labels is None:
            return []
        values = {name: self.study.labels[name].iloc[row] for name in self.labels}
        return [_fact(name, value) for name, value in values.items() if _given(value)]

    @cached_property
    def _reference(self) -> Reference | None:
        from latentscope.models.trust import sample_beside

        sample = None if self.model is None else sample_beside(self.model)
        return None if sample is None else Reference(sample)

    def _trust(self, latents: Latents) -> str:
        """Whether the model knows such a spectrum; empty where nobody can tell."""
        if self._reference is None or latents.column("recon_error") is None:
            return ""
        found = score_against(latents, self._reference).table.iloc[0]
        if not found["verdict"]:
            return ""
        sure = "below 0.001" if found["trust"] < 0.001 else f"{found['trust']:.2g}"
        reason = f": {found['reason']}" if found["reason"] else ""
        return f"{found['verdict']} (trust {sure}){reason}"

    # The map

    @cached_property
    def labels(self) -> list[str]:
        """Labels that say something, in the order of their table."""
        frame = self.study.labels
        names = [] if frame is None else [str(name) for name in frame.columns]
        return [name for name in names if not names_row(name)]

    @cached_property
    def columns(self) -> list[str]:
        """What the map can show: dimensions with a slider, labels, quality of rows, other dims."""
        table = self.latents.table
        known = (
            [] if table is None else [n for n in _OF_ROWS if n in table and table[n].notna().any()]
        )
        beside = [name for name in known if name not in self.labels]
        rest = [dim for dim in range(self.latents.dims) if dim not in self.dims]
        named, others = ([f"dim {dim}" for dim in dims] for dims in (self.dims, rest))
        return [*named, *self.labels, *beside, *others]

    def dim_of(self, name: str) -> int | None:
        """Dimension that a column of the map is, such as "dim 3", unless a label has that name."""
        return int(name[4:]) if name.startswith("dim ") and name not in self.labels else None

    def values(self, name: str) -> Floats:
        """A column of the map as numbers, shape (n,); NaN where there is none."""
        dim = self.dim_of(name)
        if dim is not None:
            return np.asarray(self.latents.values[:, dim], dtype=np.float64)
        return self.colors(name).values

    def colors(self, name: str) -> LabelColors:
        """Colors of a column of the map."""
        if self.dim_of(name) is not None:
            return LabelColors(name, self.values(name), (), ())
        frame = self.study.labels if name in self.labels else self.latents.table
        assert frame is not None
        return label_colors(frame[name], name)

    def map_name(self, name: str) -> str:
        """How an axis of the map is called, with what is known of a dimension."""
        dim = self.dim_of(name)
        return self.known[dim].name if dim in self.known else label_title(name)

    @cached_property
    def ids(self) -> NDArray[np.object_]:
        """What rows are called, shape (n,)."""
        found = self.latents.ids
        return np.arange(len(self.latents)).astype(str).astype(object) if found is None else found

    # The nearest

    @cached_property
    def retriever(self) -> Retriever:
        """Finds nearest spectra."""
        dims = sorted(self.dims)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LatentscopeWarning)
            return Retriever(self.study, dims=dims, columns=self.labels or None)

    def neighbors(self, shown: Shown, values: Floats, count: int = 12) -> tuple[pd.DataFrame, str]:
        """Spectra whose latents are nearest to `values` (d,), a spectrum that was perhaps moved.

        Returns a table of `row, rank, name, distance, labels, why`, and a heading that says among
        how many they were looked for, and how.
        """
        query: Any = shown.row
        if shown.row < 0 or not np.array_equal(values, shown.values):
            # With its names, by which its own star is left out.
            query = replace(shown.latents, values=values[None].astype(np.float64), logvar=None)
        result = self.retriever.query(query, count)
        asked = result.queries.iloc[0]
        rows = [
            {
                "row": match["row"],
                "rank": match["rank"],
                "name": self._called(match),
                "distance": round(float(match["distance"]), 3),
                "labels": self._beside(match, asked),
                "why": self._why(result.differences.iloc[place]),
            }
            for place, match in enumerate(result.matches().to_dict("records"))
        ]
        return pd.DataFrame(rows), result.heading().partition(": ")[2]

    @staticmethod
    def _called(match: dict[Any, Any]) -> str:
        """Star and row, since an archive has many exposures of a star."""
        row, star = f"row {match['row']}", match.get("object", match.get("id"))
        return f"{star}, {row}" if isinstance(star, str) and star else row

    def _why(self, apart: pd.Series) -> str:
        """In which dimensions a match agrees, and in which it differs, with what that means."""
        names = {dim: self.known[dim].name.partition(",")[0] for dim in apart.index}
        alike = [names[dim] for dim in self.dims if dim in names and abs(apart[dim]) <= _ALIKE]
        order = apart.abs().sort_values(ascending=False).index
        other = [
            f"{names[dim]} {apart[dim]:+.1f} σ{self._in_units(dim, float(apart[dim]))}"
            for dim in order[:2]
            if abs(apart[dim]) > _ALIKE
        ]
        parts = [f"alike in {', '.join(alike)}"] if alike else []
        parts += [f"differs in {', '.join(other)}"] if other else []
        return "; ".join(parts)

    def _in_units(self, dim: int, spreads: float) -> str:
        spread = dict(zip(self.retriever.space.dims, self.retriever.space.spread, strict=True))[dim]
        kms = self.known[dim].kms * spreads * spread / self.sigma[dim]
        return f" ({kms:+.1f} km/s)" if np.isfinite(kms) else ""

    def _beside(self, match: dict[Any, Any], asked: pd.Series) -> str:
        """Labels of a match, and how far each is from the query's."""
        words = []
        for name in self.labels:
            value: Any = match.get(name)
            own: Any = asked.get(name)
            if not _given(value):
                continue
            more = ""
            if _given(own) and isinstance(value, str | bool | np.bool_):
                more = "" if value == own else f" (not {own})"
            elif _given(own):
                apart = value - own
                more = f" ({apart:+.0f})" if abs(apart) >= 100 else f" ({apart:+.3g})"
            words.append(_fact(name, value) + more)
        return ", ".join(words[:_MOST_LABELS])


def _does(row: dict[Any, Any], lines: pd.DataFrame) -> str:
    """What a dimension does, per sigma: its row of a line map, and its lines."""
    parts = []
    if row["verdict"] in ("shift", "partly"):
        more = "" if row["verdict"] == "shift" else ", and changes them"
        parts.append(f"moves the lines by {row['rv_kms_per_sigma']:+.3g} km/s per σ{more}")
    changed = noticed_elements(lines[lines["kind"] != "telluric"])
    for how, sign in (("deeper", 1), ("weaker", -1)):
        named = changed["element"][np.sign(changed["depth_per_sigma"]) == sign].tolist()
        if named:
            more = f" and {len(named) - 4} more" if len(named) > 4 else ""
            parts.append(f"{how}: {', '.join(named[:4])}{more}")
    color = row["color_mag_per_sigma"]
    if abs(color) >= COLOR_NOTICED:
        parts.append(f"{'redder' if color > 0 else 'bluer'} by {abs(color):.2g} mag per σ")
    return "; ".join(parts) or "changes nothing that is measured here"


def _given(value: Any) -> bool:
    return bool(pd.notna(value)) and value != ""


def _fact(name: str, value: Any) -> str:
    number = f"{value:.4g}" if isinstance(value, float) and abs(value) < 1e4 else value
    unit = unit_of(name)
    return f"{name} {number}" if unit in name else f"{name} {number} {unit}"


def read_archive(
    latents: LatentsLike | Study | None,
    model: ModelLike | None = None,
    labels: LabelsLike | None = None,
    spectra: str | os.PathLike[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Archive:
    """Read what is explored; without latents, the demo archive, made where it is not there.

    The model is by default the one that the latents say made them, where it is known. A TableError
    or ModelError if latents or labels cannot be read, or another model made the latents; a
    LatentscopeError if the folder of spectra is none.
    """
    if latents is None:
        latents, labels, spectra = _demo(model, progress)
    folder = None if spectra is None else expanded(spectra)
    if folder is not None and not folder.is_dir():
        raise LatentscopeError(f"{folder}: is not a folder; expected one that holds the spectra")
    study = read_study(latents, labels)
    return Archive(study, _model(study.latents, model), folder)


def _model(latents: Latents, given: ModelLike | None) -> SpectrumVAE | None:
    from latentscope.models.config import bundled_models

    name = str(latents.provenance.get("model"))
    if given is None and name in bundled_models():
        given = name
    if given is not None:
        # Not before: torch takes its time.
        from latentscope.models.weights import as_model

        return as_model(given)
    said = f"the model {name}" if "model" in latents.provenance else "a model they do not name"
    warn(
        f"{latents.source}: made by {said}; give it (-m MODEL) for sliders and spectra. Shown are "
        "the map and the nearest spectra"
    )
    return None


_DEMO = 200


def _demo(
    model: ModelLike | None, progress: Callable[[int, int], None] | None
) -> tuple[Path, Path, Path]:
    """Latents, labels and folder of spectra of the demo: simulated and encoded once, and kept."""
    from latentscope.models.config import DEFAULT_MODEL, cache_root
    from latentscope.models.encode import encode
    from latentscope.models.weights import as_model, weights_sha256
    from latentscope.simulation.simulate import write_archive

    network = as_model(DEFAULT_MODEL if model is None else model)
    kept = cache_root() / "explore"
    latents = kept / f"{weights_sha256(network)[:12]}.npy"
    spectra = kept / "spectra"
    labels = spectra / "labels.csv"
    if not labels.is_file():
        write_archive(
            spectra, _DEMO, layout="s1d",
            progress=progress and (lambda done: progress(done, 2 * _DEMO)),
        )  # fmt: skip
    if not latents.is_file():
        names = pd.read_csv(labels)["id"]
        encode(
            [spectra / f"{name}.fits" for name in names],
            network,
            output=latents,
            logvar=network.config.variational,
            progress=progress and (lambda done, total: progress(done + _DEMO, 2 * _DEMO)),
        )
    return latents, labels, spectra
