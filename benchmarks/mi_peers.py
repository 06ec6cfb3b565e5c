"""Other estimators of mutual information, called alike, for the benchmarks.

Each is told which columns hold classes and otherwise left at its defaults, with k = 3. GMM-MI works
with scikit-learn below 1.6 alone (its mixture class calls what later versions removed), so it is
measured in an environment of its own:

    pip install gmm-mi "scikit-learn<1.6" latentscope-spectra
    python -m benchmarks.mi_accuracy --estimators none --peers GMM-MI
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import sklearn
from numpy.typing import NDArray

Array = NDArray[Any]
Estimate = Callable[[Array, Array, bool], float | None]


@dataclass(frozen=True)
class Peer:
    """An estimator by somebody else."""

    name: str  # with its version
    # (x, y, discrete) to nats; `discrete` says that y holds classes, and x of integers does too.
    # None where it does not take such variables.
    estimate: Estimate


def _wide(x: Array, y: Array) -> bool:
    return x.ndim > 1 or y.ndim > 1


def _both_classes(x: Array, discrete: bool) -> bool:
    return discrete and x.dtype.kind == "i"


def scikit_learn() -> Peer:
    """mutual_info_regression and mutual_info_classif, of single columns."""
    from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

    def estimate(x: Array, y: Array, discrete: bool) -> float | None:
        if _wide(x, y):
            return None
        of = mutual_info_classif if discrete else mutual_info_regression
        both = _both_classes(x, discrete)
        (value,) = of(x[:, None], y, discrete_features=both, n_neighbors=3, random_state=0)
        return float(value)

    return Peer(f"scikit-learn {sklearn.__version__}", estimate)


def npeet() -> Peer:
    """NPEET: mi, micd and midd by what x and y are."""
    from npeet_plus import mi, micd, midd

    def estimate(x: Array, y: Array, discrete: bool) -> float:
        if _both_classes(x, discrete):
            return float(midd(x[:, None], y[:, None], base=np.e))
        if discrete:
            return float(micd(x.reshape(len(x), -1), y[:, None], k=3, base=np.e))
        return float(mi(x, y, k=3, base=np.e))

    return Peer(f"NPEET (npeet-plus {version('npeet-plus')})", estimate)


def ennemi() -> Peer:
    """estimate_mi, which scales the columns and adds noise by default; of single columns."""
    from ennemi import estimate_mi

    def estimate(x: Array, y: Array, discrete: bool) -> float | None:
        if _wide(x, y):
            return None
        both = _both_classes(x, discrete)
        value = estimate_mi(y, x, k=3, discrete_y=discrete, discrete_x=both, max_threads=1)
        return float(np.squeeze(value))

    return Peer(f"ennemi {version('ennemi')}", estimate)


def infomeasure() -> Peer:
    """Its KSG, and Miller-Madow for two columns of classes; it has nothing for one of each."""
    from infomeasure import mutual_information

    def estimate(x: Array, y: Array, discrete: bool) -> float | None:
        if _both_classes(x, discrete):
            return float(mutual_information(x, y, approach="miller_madow", base="e"))
        if discrete:
            return None
        return float(mutual_information(x, y, approach="ksg", k=3, base="e"))

    return Peer(f"infomeasure {version('infomeasure')}", estimate)


def gmm_mi() -> Peer:
    """GMM-MI with its cross-validated count of components, one fit to all rows (no bootstrap)."""
    if tuple(int(part) for part in sklearn.__version__.split(".")[:2]) >= (1, 6):
        raise ImportError(f"GMM-MI breaks on scikit-learn {sklearn.__version__}, needs < 1.6")
    from gmm_mi.mi import EstimateMI
    from gmm_mi.param_holders import MIDistParamHolder

    def estimate(x: Array, y: Array, discrete: bool) -> float | None:
        if _wide(x, y) or _both_classes(x, discrete):
            return None
        once = MIDistParamHolder(n_bootstrap=0)
        of = EstimateMI()
        fit = of.fit_estimate_categorical if discrete else of.fit_estimate
        return float(fit(X=x, Y=y, mi_dist_params=once)[0])

    return Peer(f"GMM-MI {version('gmm_mi')}", estimate)


def histogram() -> Peer:
    """The plug-in value of 40 equal bins a column, of which classes have one each."""

    def coded(column: Array, classes: bool) -> Array:
        if classes:
            return np.unique(column, return_inverse=True)[1]
        edges = np.histogram_bin_edges(column, bins=40)
        return np.digitize(column, edges[1:-1])

    def estimate(x: Array, y: Array, discrete: bool) -> float | None:
        if _wide(x, y):
            return None
        rows, columns = coded(x, _both_classes(x, discrete)), coded(y, discrete)
        table = np.zeros((rows.max() + 1, columns.max() + 1))
        np.add.at(table, (rows, columns), 1 / len(x))
        seen = table > 0
        product = np.outer(table.sum(1), table.sum(0))
        return float((table[seen] * np.log(table[seen] / product[seen])).sum())

    return Peer("histogram, 40 bins", estimate)


_ALL = {
    "scikit-learn": scikit_learn,
    "NPEET": npeet,
    "ennemi": ennemi,
    "infomeasure": infomeasure,
    "GMM-MI": gmm_mi,
    "histogram": histogram,
}
NAMES: tuple[str, ...] = tuple(_ALL)


def peers(names: tuple[str, ...] = NAMES) -> dict[str, Peer]:
    """Those of the named peers that are installed, by name; says why any other is left out."""
    found = {}
    for name in names:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found[name] = _ALL[name]()
        except ImportError as error:
            print(f"{name} is left out: {error}")
    return found
