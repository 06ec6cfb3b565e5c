"""What exclusive information says, as a table and in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from latentscope.diagnostics.activity import MADResult
from latentscope.diagnostics.mi_result import p_text

SHARED = 0.1
"""Nats from which what two dimensions share counts: those of a Gaussian pair with |r| = 0.43."""

_NAMED = 12


@dataclass(frozen=True, eq=False)
class ExclusiveResult:
    """What each dimension carries, shares with others, and adds to them.

    Parameters
    ----------
    table : DataFrame
        One row a dimension looked at: `dim, kl_nats, carried_nats, carried_std_nats,
        carried_p_value, carries, rest_nats, rest_std_nats, rest_p_value, partner, partner_nats,
        exclusive, adds`. `carries`: `carried_nats` is more than noise, p below 0.01, corrected for
        the number of dimensions. `rest_nats`: mutual information with the other dimensions that
        carry something, `partner` the strongest of them and `partner_nats` what it shares.
        `exclusive`: carries something and shares less than 0.1 nats with the rest, or nothing
        significant. `adds`: in the greedy order. NaN, None or False where not measured.
    order : DataFrame
        `step, dim, gain_nats, std_nats, p_value, adds, total_nats`: the greedy order, the most
        first. Rows after the last that adds something say what each of the rest would add to it.
    n, n_rows : int
        Independent rows measured, and rows that were there.
    resolution : str
        The noise that dimensions are read with, in words.
    limit : float
        Nats; less than about that cannot be told from noise with n rows.
    labels : tuple of str
        Labels about which dimensions add something; empty: about the spectra.
    left_out : int
        Dimensions that carry something and were not ordered, since too many do.
    provenance : dict
        Settings, versions, and where the latents come from.
    """

    table: pd.DataFrame
    order: pd.DataFrame
    n: int
    n_rows: int
    resolution: str
    limit: float
    labels: tuple[str, ...]
    left_out: int
    provenance: dict[str, Any]

    @property
    def informative(self) -> list[int]:
        """Dimensions that add something significant to those before them, ascending."""
        return sorted(int(dim) for dim in self.order.loc[self.order["adds"], "dim"])

    @property
    def carrying(self) -> list[int]:
        """Dimensions that carry something, whether others repeat it or not, ascending."""
        return [int(dim) for dim in self.table.loc[self.table["carries"], "dim"]]

    def sentences(self) -> list[str]:
        """Return lines a person can read: what adds, where it ends, what is shared, and on what."""
        return [*self._order_text(), self._exclusive_text(), self._basis_text()]

    def _order_text(self) -> list[str]:
        adds = self.order[self.order["adds"]]
        about = f" about {', '.join(self.labels)}" if self.labels else ""
        count, carrying = len(adds), len(self.carrying)
        first = (
            f"{carrying} of {len(self.table)} dimensions carry information, {count} of them add "
            f"some{about} to those before: {_dims(self.informative)}"
        )
        lines = [first]
        if count:
            shown = adds.head(_NAMED).to_dict("records")
            gains = ", ".join(f"{row['dim']} ({row['gain_nats']:.2f})" for row in shown)
            more = f" and {count - _NAMED} more" if count > _NAMED else ""
            lines.append(f"what each adds{about}, in order (nats): {gains}{more}")
        return [*lines, self._end_text()]

    def _end_text(self) -> str:
        rest = self.order[~self.order["adds"]]
        if not len(self.order):
            return "nothing is carried, so nothing is added"
        if not len(rest):
            which = "that was ordered" if self.left_out else "that carries something"
            return f"every dimension {which} adds something"
        best = rest.iloc[0]
        return (
            f"nothing significant is added after that: dim {best['dim']} would add "
            f"{best['gain_nats']:.3f} ± {best['std_nats']:.3f} nats, {p_text(best['p_value'])}"
        )

    def _exclusive_text(self) -> str:
        carrying = self.table[self.table["carries"]]
        shared = carrying[~carrying["exclusive"].astype(bool) & carrying["rest_nats"].notna()]
        if len(carrying) < 2:
            return "no two dimensions carry information, so none can share it"
        if not len(shared):
            return f"each is exclusive: none shares {SHARED:g} nats with the rest"
        shown = shared.sort_values("rest_nats", ascending=False).head(_NAMED).to_dict("records")
        told = ", ".join(
            f"{row['dim']} shares {row['rest_nats']:.2f} nats (most with {row['partner']}: "
            f"{row['partner_nats']:.2f})"
            for row in shown
        )
        return f"{len(shared)} not exclusive: {told}"

    def _basis_text(self) -> str:
        some = f"a random {self.n:,}" if self.n < self.n_rows else f"all {self.n:,}"
        one = ", one a star" if self.provenance["groups"] else ""
        out = f"; {self.left_out} that carry less were not ordered" if self.left_out else ""
        return (
            f"information measured on {some} of {self.n_rows:,} rows{one}; noise: "
            f"{self.resolution}; less than {self.limit:.2f} nats is not seen{out}"
        )

    def plot(self, ax: Any = None) -> Any:
        """Draw what each dimension adds (`latentscope.plot_exclusive`), on `ax` or a new figure."""
        from latentscope import plot_exclusive

        return plot_exclusive(self, ax)


@dataclass(frozen=True)
class Agreement:
    """Whether deviations and information pick the same dimensions.

    Parameters
    ----------
    both : list of int
        Dimensions above the threshold that add information.
    only_varying : list of int
        Above the threshold, but add nothing significant.
    only_adding : list of int
        Below the threshold, but add something.
    reasons : dict
        Of each dimension on which they differ, in words.
    """

    both: list[int]
    only_varying: list[int]
    only_adding: list[int]
    reasons: dict[int, str]

    @property
    def agree(self) -> bool:
        """Whether both pick the same."""
        return not self.only_varying and not self.only_adding

    def sentences(self) -> list[str]:
        """Return the verdict in lines."""
        if self.agree:
            return [f"both answers agree on {len(self.both)} dimensions: {_dims(self.both)}"]
        differ = sorted([*self.only_varying, *self.only_adding])
        several = "s" if len(differ) > 1 else ""
        return [
            f"the two answers differ in {len(differ)} dimension{several} and agree on "
            f"{len(self.both)}: {_dims(self.both)}",
            *(f"dim {dim} {self.reasons[dim]}" for dim in differ[:_NAMED]),
            *([f"... and {len(differ) - _NAMED} more"] if len(differ) > _NAMED else []),
        ]


def compare(activity: MADResult, information: ExclusiveResult) -> Agreement:
    """Compare which dimensions vary with which add information.

    Parameters
    ----------
    activity : MADResult
        Of `mad`.
    information : ExclusiveResult
        Of `exclusive_information`, on the same latents. Dimensions that it did not look at or did
        not order are not compared.
    """
    seen = {int(dim) for dim in information.table["dim"]}
    unordered = set(information.carrying) - {int(dim) for dim in information.order["dim"]}
    varying = {int(dim) for dim in activity.informative} & (seen - unordered)
    adding = set(information.informative)
    rows = information.table.set_index("dim").to_dict("index")
    reasons = {dim: _why_nothing(rows[dim]) for dim in varying - adding}
    for dim in adding - varying:
        reasons[dim] = (
            f"adds information ({rows[dim]['carried_nats']:.2f} nats carried), but its deviation "
            f"of {activity.values[dim]:.3g} is below the threshold"
        )
    return Agreement(
        sorted(varying & adding), sorted(varying - adding), sorted(adding - varying), reasons
    )


def _why_nothing(row: dict[Any, Any]) -> str:
    if not row["carries"]:
        return (
            f"varies, but carries no information: {row['carried_nats']:.3f} nats, lost in the "
            "noise it is read with"
        )
    partner = row["partner"]
    with_whom = "" if pd.isna(partner) else f", {row['partner_nats']:.2f} of them with {partner}"
    return (
        f"varies, but adds nothing: of its {row['carried_nats']:.2f} nats it shares "
        f"{row['rest_nats']:.2f} with the rest{with_whom}"
    )


def _dims(dims: list[int]) -> str:
    return ", ".join(map(str, dims)) or "none"
