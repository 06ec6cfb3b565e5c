"""Which rows a model knows: latents and errors compared with those of ordinary spectra.

A network gives latents for anything. Four questions are asked apart: are the latents where those of
ordinary spectra are; is the spectrum reproduced as well; has it their resolving power; is it the
light of a star, in the stated medium. Each answer is a p-value among the rows of a reference; the
smallest of them, corrected for there being several, is the trust.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from latentscope.data import Latents, LatentsLike, read_latents
from latentscope.diagnostics.mi.columns import Seed, whole_seed
from latentscope.diagnostics.study import (
    GroupsLike,
    Result,
    Study,
    StudyLike,
    known_stars,
    origin,
    read_groups,
    star_names,
    unnamed,
)
from latentscope.diagnostics.trust_reference import (
    MAX_ROWS,
    SIGNS,
    Judged,
    Reference,
    TrustSample,
    combined,
    draw_trust_sample,
    drawn_rows,
    trust_rows,
)
from latentscope.errors import TableError
from latentscope.tables import STAR_COLUMNS

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]

VERDICTS = ("ordinary", "doubtful", "outside")
DOUBTFUL, OUTSIDE = 0.05, 0.001
"""Trust below which a row is doubtful, and outside."""

# Share of the grid that an ordinary row may lack beyond the reference.
_COVERAGE_SLACK = 0.1
_TESTS = ("fit", "latents", "resolution", "kind")
# The last two parts, after those of the spectrum.
_WHOLE = ("in the depth of its lines", "in the sharpness of its lines")

# First and last wavelength, Angstrom in air, and the feature there.
_FEATURES = (
    (3925.0, 3978.0, "Ca H and K"),
    (4093.0, 4110.0, "H-delta"),
    (4290.0, 4320.0, "G band of CH"),
    (4332.0, 4349.0, "H-gamma"),
    (4852.0, 4870.0, "H-beta"),
    (5160.0, 5190.0, "Mg b"),
    (5884.0, 5902.0, "Na D"),
    (6552.0, 6573.0, "H-alpha"),
    (6867.0, 6944.0, "O2 of the air"),
    (7594.0, 7700.0, "O2 of the air"),
)


@dataclass(frozen=True, eq=False, repr=False)
class ScoreResult(Result):
    """Which rows the model knows.

    Parameters
    ----------
    table : DataFrame
        One row per row of the latents:

        - `id`: or the row's number;
        - `recon_percentile`: percentage of the reference with a smaller reconstruction error, over
          that of similar spectra with similar noise;
        - `misfit_percentile`: the same for the pattern of that error over wavelength;
        - `density_percentile`: percentage of the reference in emptier places of the latent space;
        - `resolution_percentile`: percentage of the reference with a lower resolution;
        - `kind_percentile`: percentage of the reference with weaker signs of not being a star;
        - `worst`, `worst_ratio`: where the pattern is oddest, Angstrom (NaN: the contrast or
          sharpness of all lines), and the error there over that suggested by the rest;
        - `coverage`, `resolution`, `emission`, `elsewhere`, `vacuum`, `oxygen_rv`: as encoded;
        - `trust_latents`, `trust_fit`, `trust_resolution`, `trust_kind`: chance, 0 to 1, that an
          ordinary spectrum looks as odd in its latents, fit, resolution and kind;
        - `trust`: the smallest of these, corrected for there being four;
        - `verdict`: "ordinary", "doubtful" (trust below 0.05, or low coverage), "outside" (below
          0.001); empty for a row without latents;
        - `reason`: for rows that are not ordinary, what is odd and what is not.

        NaN where unknown.
    provenance : dict
        Settings, versions, `reference` (its origin, model and rows), and origin of the latents.
    """

    drawn_by = "plot_trust"

    table: pd.DataFrame
    provenance: dict[str, Any]

    @property
    def counts(self) -> dict[str, int]:
        """Rows of each verdict, and rows without latents as `none`."""
        found = self.table["verdict"].value_counts()
        counts = {name: int(found.get(name, 0)) for name in VERDICTS}
        return counts | {"none": int(found.get("", 0))}

    @property
    def worst(self) -> pd.DataFrame:
        """Rows that are not ordinary, least trusted first."""
        odd = self.table[self.table["verdict"].isin(VERDICTS[1:])]
        return odd.sort_values("trust", kind="stable")

    def sentences(self, count: int = 10) -> list[str]:
        """Say how many rows are ordinary, and why others are not: `count`, least trusted first."""
        counts, reference = self.counts, self.provenance["reference"]
        judged = sum(counts[name] for name in VERDICTS)
        without = f"; {counts['none']:,} without latents" if counts["none"] else ""
        lines = [
            f"of {judged:,} spectra {counts['ordinary']:,} are ordinary, {counts['doubtful']:,} "
            f"doubtful and {counts['outside']:,} outside of what the model knows{without}"
        ]
        if self.provenance["own_reference"]:
            lines.append(
                "they were compared with each other, which only ranks them: about 5 % are always "
                "doubtful; give a reference of ordinary spectra to judge them"
            )
        else:
            lines.append(
                f"compared with {reference['rows']:,} ordinary spectra ({reference['origin']}), of "
                "which 5 % would be called doubtful or outside, and 0.1 % outside"
            )
            if counts["outside"] > judged / 2:
                lines.append(
                    "most are outside: the set differs from the reference as a whole; to find its "
                    "odd ones, give spectra of its kind that you trust as the reference"
                )
        odd = self.worst
        if len(odd):
            told = {name: int((odd[f"trust_{name}"] < DOUBTFUL).sum()) for name in _TESTS}
            lines.append(
                f"of these {len(odd):,}, the latents of {told['latents']:,} are odd, the fit of "
                f"{told['fit']:,}, the resolution of {told['resolution']:,}, the kind of "
                f"{told['kind']:,}"
            )
        tests = {
            "reconstruction error": "recon_percentile",
            "its pattern over wavelength": "misfit_percentile",
            "resolution": "resolution_percentile",
            "signs of what is no star": "kind_percentile",
        }
        missing = [name for name, column in tests.items() if self.table[column].isna().all()]
        if missing:
            lines.append(f"not compared, since not known on both sides: {', '.join(missing)}")
        for row in self.worst.head(count).to_dict("records"):
            trust = "below 0.001" if row["trust"] < 0.001 else f"{row['trust']:.2g}"
            lines.append(f"{row['id']}: {row['verdict']} (trust {trust}): {row['reason']}")
        return lines


def score_against(
    latents: StudyLike,
    reference: TrustSample | Reference | LatentsLike | None = None,
    *,
    groups: GroupsLike = "auto",
    seed: Seed = 0,
) -> ScoreResult:
    """Compare rows of latents with a reference of ordinary ones.

    What is compared, where both sides have it: the pattern of the reconstruction error over
    wavelength (else the error), the density of the latents, the resolution, and signs of what is no
    star. The smallest p-value is `trust`, corrected so that 5 % of ordinary rows fall below 0.05.

    Arguments are those of `latentscope.score`; the reference may also be a `Reference`.
    """
    seed = whole_seed(seed)
    read = latents.latents if isinstance(latents, Study) else read_latents(latents)
    rows = trust_rows(read)
    drawn, note = None, ""
    if isinstance(reference, Reference):
        model = reference
    elif isinstance(reference, TrustSample):
        model = Reference(reference)
    elif reference is not None:
        ordinary = read_latents(reference)
        stars, note = _stars(ordinary, groups)
        model = Reference(draw_trust_sample(ordinary, groups=stars, seed=seed))
    else:
        if isinstance(latents, Study) and isinstance(groups, str) and groups == "auto":
            groups = latents.stars.codes
        stars, note = _stars(read, groups)
        drawn = drawn_rows(read, MAX_ROWS, stars, seed)
        model = Reference(rows.rows(drawn))
    table = judged_table(read, rows, model, drawn)
    provenance = origin("score") | {
        "reference": model.sample.info | {"rows": len(model.sample)},
        "own_reference": drawn is not None, "dims": model.dims.tolist(),
        "doubtful_below": DOUBTFUL, "outside_below": OUTSIDE, "seed": seed, "source": read.source,
        "latents": read.provenance,
    }  # fmt: skip
    if note:
        provenance["groups_found"] = note
    return ScoreResult(table, provenance)


def _stars(latents: Latents, groups: GroupsLike) -> tuple[ArrayLike, str]:
    """The star of each row, and in words how it was found."""
    alone = np.arange(len(latents))
    if groups is None or (isinstance(groups, str) and groups == "none"):
        return alone, ""
    if not isinstance(groups, str):
        return groups, ""
    column = STAR_COLUMNS[0] if groups == "auto" else groups
    names = known_stars(latents) if groups == "auto" else star_names(column, latents, None)
    if names is None and groups != "auto":
        raise TableError(f"{latents.source}: no column {groups!r} to name the stars")
    if names is None or unnamed(names).all():
        return alone, ""
    found, n_rows = read_groups(names, len(latents), column), int(latents.ok.sum())
    n_stars = found.count(latents.ok)
    told = groups == "auto" and n_stars < n_rows
    note = f"the reference has one row per star: {n_stars:,} stars in {n_rows:,} rows"
    return found.codes, note if told else ""


def _model_name(sample: TrustSample) -> str:
    """Return the model's name, where it is kept, and the head of its weights' SHA-256."""
    sha = f"{str(sample.info.get('weights_sha256'))[:12]}..."
    return f"{sample.info['model']}, {sha}" if sample.info.get("model") else sha


def _check_comparable(rows: TrustSample, reference: TrustSample, source: str) -> None:
    name = reference.info.get("origin") or "the reference"
    if rows.values.shape[1] != reference.values.shape[1]:
        raise TableError(
            f"{source}: {rows.values.shape[1]} dimensions, but {name} has "
            f"{reference.values.shape[1]}"
        )
    weights = rows.info.get("weights_sha256"), reference.info.get("weights_sha256")
    if all(weights) and weights[0] != weights[1]:
        raise TableError(
            f"{source}: encoded by other weights ({_model_name(rows)}) than {name} "
            f"({_model_name(reference)}); give their model, or encode again"
        )
    edges, others = rows.edges, reference.edges
    alike = len(edges) == len(others) and np.allclose(edges, others, rtol=1e-6)
    if len(edges) and len(others) and not alike:
        raise TableError(
            f"{source}: its {len(edges) - 1} parts of the spectrum are not those of {name}; encode "
            "again with this version"
        )


def judged_table(
    latents: Latents, rows: TrustSample, reference: Reference, drawn: Rows | None = None
) -> pd.DataFrame:
    """Table of a `ScoreResult`; rows `drawn` are the reference, and are judged as held out.

    A TableError if the rows do not compare with the reference.
    """
    _check_comparable(rows, reference.sample, latents.source)
    tests = reference.judge(rows)
    if drawn is not None:
        # A row is its own nearest, and fits know it: it would look more ordinary than it is.
        for name, judged in tests.items():
            for column, own in zip(judged, reference.own[name], strict=True):
                column[drawn] = own
    part, sign = tests["misfit"].oddest, tests["kind"].oddest
    edges = reference.sample.edges if len(reference.sample.edges) else rows.edges
    worst = np.full(len(rows), np.nan)
    if len(edges):
        # The last two parts are the spectrum's lines as a whole.
        centers = np.append((edges[:-1] + edges[1:]) / 2, [np.nan] * len(_WHOLE))
        worst = np.where(part >= 0, centers[part], np.nan)
    counted = _counted(tests)
    trust, corrected = combined(counted, _counted(reference.own))
    low_coverage = rows.coverage < reference.lowest_coverage - _COVERAGE_SLACK
    verdict = np.full(len(rows), "ordinary", dtype=object)
    verdict[(trust < DOUBTFUL) | low_coverage] = "doubtful"
    verdict[trust < OUTSIDE] = "outside"
    verdict[np.isnan(trust)] = ""
    ids = latents.ids
    table = pd.DataFrame(
        {
            "id": np.arange(len(rows)) if ids is None else ids,
            **{f"{name}_percentile": judged.percentile for name, judged in tests.items()},
            "worst": worst,
            "worst_ratio": tests["misfit"].excess,
            "coverage": rows.coverage,
            "resolution": rows.resolution,
            **{name: getattr(rows, name) for name in (*SIGNS, "oxygen_rv")},
            "trust_latents": counted[:, 1],
            "trust_fit": counted[:, 0],
            "trust_resolution": counted[:, 2],
            "trust_kind": counted[:, 3],
            "trust": trust,
            "verdict": verdict,
        }
    )
    features = feature_names(edges)
    named = [f"near {at:,.0f} A" + (f" ({name})" if name else "") for at, name in features.items()]
    places = np.array([*named, *_WHOLE, ""], dtype=object)[part] if len(edges) else None
    failures = latents.column("error")
    table["reason"] = _reasons(table, corrected, low_coverage, failures, places, sign, reference)
    return table


def _counted(tests: dict[str, Judged]) -> Floats:
    """P-values that count, shape (n, 4): the error's own one where its pattern is not known."""
    error = np.where(np.isnan(tests["misfit"].p), tests["recon"].p, tests["misfit"].p)
    others = (tests[name].p for name in ("density", "resolution", "kind"))
    return np.stack([error, *others], axis=1)


def _reasons(
    table: pd.DataFrame,
    corrected: Floats,
    low_coverage: Mask,
    errors: NDArray[np.object_] | None,
    places: NDArray[np.object_] | None,
    sign: Rows,
    reference: Reference,
) -> list[str]:
    """Why a row is not ordinary, and what of it is; empty for an ordinary one."""
    out = [""] * len(table)
    odd = np.flatnonzero((table["verdict"] != "ordinary").to_numpy())
    for row, record in zip(odd.tolist(), table.iloc[odd].to_dict("records"), strict=True):
        if not record["verdict"]:
            error = None if errors is None or pd.isna(errors[row]) else str(errors[row])
            out[row] = f"no latents: {error}" if error else "no latents"
            continue
        # A test is named if it alone makes a row doubtful, the surest first.
        order = [test for test in np.argsort(corrected[row]) if corrected[row, test] < DOUBTFUL]
        place = "" if places is None else places[row]
        words = [_reason(_TESTS[test], record, place, SIGNS[sign[row]]) for test in order]
        if low_coverage[row]:
            words.append(
                f"fills {100 * record['coverage']:.0f} % of the grid, the reference "
                f"{100 * reference.lowest_coverage:.0f} % and more"
            )
        usual = [name for name, p in zip(_TESTS, corrected[row], strict=True) if p >= DOUBTFUL]
        if usual:
            words.append(
                f"{' and '.join(filter(None, (', '.join(usual[:-1]), usual[-1])))} ordinary"
            )
        out[row] = "; ".join(words)
    return out


def feature_names(edges: Floats) -> dict[float, str]:
    """Names of the features in each part of the spectrum, by its central wavelength."""
    names = {}
    for first, last in pairwise(edges):
        inside = [name for low, high, name in _FEATURES if low < last and high > first]
        names[(first + last) / 2] = ", ".join(dict.fromkeys(inside))
    return names


def _reason(test: str, record: dict[Any, Any], place: str, sign: str) -> str:
    if test == "kind":
        return _sign(sign, record)
    if test == "latents":
        return f"latents in an emptier place than {_percent(100 - record['density_percentile'])}"
    if test == "resolution":
        percentile = record["resolution_percentile"]
        side, share = ("below", 100 - percentile) if percentile < 50 else ("above", percentile)
        return f"resolution {record['resolution']:,.0f}, {side} {_percent(share)}"
    if np.isnan(record["misfit_percentile"]):
        return f"fit worse than {_percent(record['recon_percentile'])}"
    words = f"fit odder than {_percent(record['misfit_percentile'])}"
    if place:
        words += f", most {place}: {record['worst_ratio']:.2g} times what the rest suggests"
    return words


def _sign(sign: str, record: dict[Any, Any]) -> str:
    if sign == "emission":
        height = record["emission"]
        return f"Balmer lines in emission, {height:.2g} of the continuum above it"
    if sign == "elsewhere":
        return (
            f"no star's lines: they fit {record['elsewhere']:.2g} times as well at velocities "
            "beyond 900 km/s"
        )
    off = record["oxygen_rv"]
    if abs(off) > 1:  # else it says nothing of the medium
        to = "red" if off > 0 else "blue"
        how = f"O2 of the air lies {abs(off):.0f} km/s to the {to}"
    else:
        off = record["vacuum"]
        how = f"lines shift along the spectrum by {abs(off):.1f} of that"
    media = "vacuum taken for air" if off > 0 else "air taken for vacuum"
    return f"wavelengths look like {media}: {how}"


def _percent(share: float) -> str:
    """At most 99.9, since a sample cannot tell more."""
    return f"{min(np.floor(10 * share) / 10, 99.9):.1f} % of the reference"
