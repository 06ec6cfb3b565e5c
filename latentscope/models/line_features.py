"""Line lists of the simulation as features that diagnostics measure."""

from __future__ import annotations

import os

import numpy as np

from latentscope.diagnostics.traversal.lines import Feature, line, stellar_features
from latentscope.simulation.elements import ELEMENTS
from latentscope.simulation.linelist import LineList, read_linelist

MOST_LINES = 500


def line_features(
    linelist: LineList | str | os.PathLike[str] | None = None, *, most: int = MOST_LINES
) -> list[Feature]:
    """Lines and bands to measure, ascending in wavelength.

    Parameters
    ----------
    linelist : LineList or path, optional
        Atomic lines, as `read_linelist` takes them, in place of the built-in ones. Balmer lines,
        Ca II H and K, molecular bands and those of the air are always there.
    most : int
        The strongest lines that are kept, by abundance + log gf - excitation in eV: their order at
        5040 K, ionisation left out.

    Raises
    ------
    SpectrumError
        If the line list cannot be read.
    """
    builtin = stellar_features()
    if linelist is None:
        return builtin
    given = linelist if isinstance(linelist, LineList) else read_linelist(linelist)
    abundance = np.array([ELEMENTS[int(z)].abundance for z in given.z])
    strongest = np.argsort(-(abundance + given.loggf - given.excitation), kind="stable")[:most]
    lines = [
        line(f"{ELEMENTS[int(given.z[i])].symbol} {'I' * (1 + int(given.ion[i]))}", wavelength)
        for i, wavelength in zip(strongest, given.wavelength[strongest].tolist(), strict=True)
    ]
    kept = [feature for feature in builtin if feature.kind not in ("narrow", "strong")]
    return sorted(kept + lines, key=lambda feature: feature.wavelength)
