"""Spectra from one set of pixels to another on plain arrays, conserving flux."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from latentscope.errors import SpectrumError

# A step between pixels wider than this many times the smaller of its neighbour steps is a hole
# in the data, not one wide pixel.
_HOLE = 3.0


def pixel_edges(wavelength: NDArray[np.float64]) -> NDArray[np.float64]:
    """Borders of pixels whose centres are given: halfway between centres, mirrored at the ends.

    Parameters
    ----------
    wavelength : ndarray of shape (n,)
        Ascending centres in Angstrom, n >= 2.

    Returns
    -------
    ndarray of shape (n + 1,)
    """
    edges = np.empty(len(wavelength) + 1)
    np.add(wavelength[1:], wavelength[:-1], out=edges[1:-1])
    edges[1:-1] *= 0.5
    edges[0] = wavelength[0] - (edges[1] - wavelength[0])
    edges[-1] = wavelength[-1] + (wavelength[-1] - edges[-2])
    return edges


def rebin(
    edges_in: NDArray[np.float64],
    flux: NDArray[np.floating[Any]],
    edges_out: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Flux density on new pixels, conserving flux.

    The density of a new pixel is the mean of the old densities in it, weighted by the length of
    the overlap; pixels that are not finite and stretches outside the input count neither in the
    sum nor in the length. Hence the sum over new pixels of density * filled * width equals the
    integral of the old density over the stretch that both sets of pixels cover.

    Parameters
    ----------
    edges_in : ndarray of shape (n + 1,)
        Ascending borders of the old pixels in Angstrom.
    flux : ndarray of shape (n,)
        Flux density in each old pixel; NaN or infinite where there is none.
    edges_out : ndarray of shape (m + 1,)
        Ascending borders of the new pixels in Angstrom.

    Returns
    -------
    density : ndarray of float64, shape (m,)
        NaN where nothing fills the pixel.
    filled : ndarray of float64, shape (m,)
        Filled fraction of each new pixel, 0 to 1.

    Raises
    ------
    SpectrumError
        If there is not one more border than there are pixels.
    """
    if len(edges_in) != len(flux) + 1 or len(edges_out) < 2:
        raise SpectrumError(
            f"rebin: {len(edges_in)} borders for {len(flux)} pixels onto {len(edges_out)} borders; "
            "wanted one border more than pixels (pixel_edges gives them)"
        )
    density, filled = _rebin(
        np.ascontiguousarray(edges_in, dtype=np.float64),
        native(flux),
        np.ascontiguousarray(edges_out, dtype=np.float64),
    )
    return density, filled


def native(flux: NDArray[Any]) -> NDArray[np.floating[Any]]:
    """Flux as a contiguous array in the machine's byte order: float32 if it was, else float64."""
    dtype = np.asarray(flux).dtype
    single = dtype.kind == "f" and dtype.itemsize == 4
    return np.ascontiguousarray(flux, dtype=np.float32 if single else np.float64)


def split_holes(
    wavelength: NDArray[np.float64], flux: NDArray[np.floating[Any]]
) -> tuple[NDArray[np.float64], NDArray[np.floating[Any]]]:
    """Put NaN pixels into every hole of a wavelength axis, so that nothing is drawn across it.

    A hole is a step more than three times the smaller of the steps on its two sides: a format that
    leaves missing pixels out, or the stretch between two detectors.

    Parameters
    ----------
    wavelength : ndarray of shape (n,)
        Ascending centres in Angstrom.
    flux : ndarray of shape (n,)
        Flux density.

    Returns
    -------
    wavelength, flux : ndarray of shape (n + 2 * number of holes,)
    """
    hole, beside = _holes(np.ascontiguousarray(wavelength, dtype=np.float64))
    if len(hole) == 0:
        return wavelength, flux
    # Two NaN pixels a hole, one small step inside it: the pixels beside it keep their width.
    ends = np.column_stack([wavelength[hole] + beside, wavelength[hole + 1] - beside])
    at = np.repeat(hole + 1, 2)
    return np.insert(wavelength, at, ends.ravel()), np.insert(flux, at, np.nan)


@numba.njit(nogil=True, cache=True)
def same(first: NDArray[np.float64], second: NDArray[np.float64], tolerance: float) -> bool:
    """Whether two arrays of one length, shape (n,), differ nowhere by more than `tolerance`."""
    for i in range(len(first)):  # noqa: SIM110, faster compiled than all() of a generator
        if not abs(first[i] - second[i]) <= tolerance:
            return False
    return True


@numba.njit(nogil=True, cache=True)
def _holes(wavelength: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pixels before a hole, and the smaller of the steps beside each hole, shape (holes,) each."""
    n = len(wavelength)
    at = np.empty(n, dtype=np.int64)
    beside = np.empty(n)
    found = 0
    for i in range(n - 1):
        small = np.inf
        if i > 0:
            small = wavelength[i] - wavelength[i - 1]
        if i + 2 < n:
            small = min(small, wavelength[i + 2] - wavelength[i + 1])
        if wavelength[i + 1] - wavelength[i] > _HOLE * small:
            at[found], beside[found] = i, small
            found += 1
    return at[:found].copy(), beside[:found].copy()


@numba.njit(nogil=True, cache=True)
def _rebin(
    edges_in: NDArray[np.float64],
    flux: NDArray[np.floating[Any]],
    edges_out: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    n, m = len(flux), len(edges_out) - 1
    density = np.full(m, np.nan)
    filled = np.zeros(m)
    first = max(np.searchsorted(edges_in, edges_out[0], side="right") - 1, 0)
    for j in range(m):
        low, high = edges_out[j], edges_out[j + 1]
        while first < n and edges_in[first + 1] <= low:
            first += 1
        total, covered = 0.0, 0.0
        i = first
        while i < n and edges_in[i] < high:
            if np.isfinite(flux[i]):
                overlap = min(high, edges_in[i + 1]) - max(low, edges_in[i])
                total += flux[i] * overlap
                covered += overlap
            i += 1
        if covered > 0:
            density[j] = total / covered
            filled[j] = min(covered / (high - low), 1.0)
    return density, filled
