"""Grids that the tests of the preparation share."""

import numpy as np

from latentscope.spectra.wavelength import Grid

COMPACT = Grid("log", 3785.0, np.log(6910 / 3785) / 20479, 20480, gaps=((5303.64, 5338.04),))
SMALL = Grid("linear", 5000.0, 0.5, 400, pad_left=3, pad_right=5, gaps=((5050.0, 5060.0),))
