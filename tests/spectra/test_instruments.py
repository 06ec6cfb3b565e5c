"""Files of real instruments, each with what is right to read from it."""

import pytest

from tests.spectra.instruments import LAYOUTS
from tests.spectra.judge import verdict

NOT_YET = """
UVES pipeline, its errors
X-shooter pipeline, merged
IRAF apall, four bands
IRAF pixels for unit, WAT for the truth
IRAF equispec, two apertures
UVES_popler
IRAF multispec, two orders
IRAF multispec, its second order
IRAF multispec, Chebyshev
SDSS DR7 spSpec
APOGEE apStar
APOGEE aspcapStar
APOGEE apVisit
LAMOST LRS, to DR7
LAMOST MRS
two arms that overlap
DESI coadd of one target
DESI coadd of a pixel
GALAH DR3, an arm
OzDES
GAMA
MUSE, an extracted spectrum
WEAVE L1, five fibers
PypeIt spec1d of two objects
one image HDU an order
NARVAL .s, intensity
ESPaDOnS .s, polarization
ESPaDOnS .s, overlapping orders
ELODIE archive s1d
HERMES log_merged_c
JWST x1d
COS x1d, two segments
PHOENIX HiRes flux
iSpec FITS, regular
a table of stars
""".strip().splitlines()


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name not in NOT_YET])
def test_layout(name, tmp_path):
    answer, problems = verdict(LAYOUTS[name], tmp_path)
    assert not problems, f"{answer}: {'; '.join(problems)}"
