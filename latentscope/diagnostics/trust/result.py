"""The table of trust, and what it says in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

VERDICTS = ("ordinary", "doubtful", "outside")


@dataclass(frozen=True, eq=False)
class ScoreResult:
    """Which rows the model knows.

    Parameters
    ----------
    table : DataFrame
        One row a row of the latents:

        - `id`: of the row, its number where there is none;
        - `recon_percentile`: percentage of the reference with a smaller reconstruction error, each
          over what like spectra with like noise have;
        - `misfit_percentile`: the same of the pattern of that error over wavelength;
        - `density_percentile`: percentage of the reference in emptier places of the latent space;
        - `resolution_percentile`: percentage of the reference with a lower resolution;
        - `worst`, `worst_ratio`: where the pattern is oddest, Angstrom, and the error there over
          what the rest of the spectrum makes expect;
        - `coverage`, `resolution`: as encoded;
        - `trust`: chance that an ordinary spectrum looks as odd as this, 0 to 1;
        - `verdict`: "ordinary", "doubtful" (trust below 0.05, or low coverage), "outside" (below
          0.001); empty for a row without latents;
        - `reason`: in words, of rows that are not ordinary. Percentages are of the reference.

        NaN where it cannot be told.
    provenance : dict
        Settings, versions, `reference` (what it is, its model, its rows), and where the latents
        come from.
    """

    table: pd.DataFrame
    provenance: dict[str, Any]

    @property
    def counts(self) -> dict[str, int]:
        """Rows of each verdict, and rows without latents as `none`."""
        found = self.table["verdict"].value_counts()
        return {name: int(found.get(name, 0)) for name in VERDICTS} | {
            "none": int(found.get("", 0))
        }

    @property
    def worst(self) -> pd.DataFrame:
        """Rows that are not ordinary, least trusted first."""
        odd = self.table[self.table["verdict"].isin(VERDICTS[1:])]
        return odd.sort_values("trust", kind="stable")

    def sentences(self, count: int = 10) -> list[str]:
        """Return what the table says as lines a person can read.

        Parameters
        ----------
        count : int
            Rows that are named at most, the least trusted first.
        """
        counts = self.counts
        judged = sum(counts[name] for name in VERDICTS)
        reference = self.provenance["reference"]
        lines = [
            f"of {judged:,} spectra {counts['ordinary']:,} are ordinary, {counts['doubtful']:,} "
            f"doubtful and {counts['outside']:,} outside of what the model knows"
            + (f"; {counts['none']:,} have no latents" if counts["none"] else "")
        ]
        if self.provenance["own_reference"]:
            lines.append(
                "they were compared with each other: this ranks them, and about 5 % are called "
                "doubtful whatever they are; a reference of spectra known to be ordinary would tell"
            )
        else:
            lines.append(
                f"compared with {reference['rows']:,} ordinary spectra ({reference['origin']}), of "
                "which 5 % would be called doubtful or outside, and 0.1 % outside"
            )
            if counts["outside"] > judged / 2:
                lines.append(
                    "most are outside: the set differs from the reference as a whole; to find the "
                    "odd ones in it, give spectra of its kind that you trust as the reference"
                )
        missing = [name for name, column in _TESTS.items() if self.table[column].isna().all()]
        if missing:
            lines.append(f"not compared, since not known on both sides: {', '.join(missing)}")
        for row in self.worst.head(count).to_dict("records"):
            lines.append(f"{row['id']}: {row['verdict']} ({_trust(row['trust'])}): {row['reason']}")
        return lines

    def plot(self, ax: Any = None) -> Any:
        """Draw trust and its parts (`latentscope.plot_trust`), on `ax` or a new figure."""
        from latentscope import plot_trust

        return plot_trust(self, ax)


_TESTS = {
    "reconstruction error": "recon_percentile",
    "its pattern over wavelength": "misfit_percentile",
    "resolution": "resolution_percentile",
}


def _trust(value: float) -> str:
    return "trust below 0.001" if value < 0.001 else f"trust {value:.2g}"
