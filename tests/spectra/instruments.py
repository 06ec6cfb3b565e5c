"""Files of real instruments in small: who writes them, how, and what is right to read from them.

A layout is a builder of bytes and the truth about them. The flux is the wavelength as the file has
it (times `scale`), so that whatever shifts, joins or resamples shows; pixels that the file flags
hold `BAD`. `cite` says who says so: the writer's documents, or readers that the field uses.
Where readers leave more than one answer open, the truth is wider: `or_refused`, a frame of None.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from astropy.io import fits

from tests.spectra.fits_layouts import as_bytes, linear_grid, primary, put

BAD = -999.0
FLAGGED = slice(100, 104)
"""Pixels that files with a mask flag."""


@dataclass(frozen=True)
class Truth:
    """What is right to read from a file.

    wavelength: Angstrom, shape (n,), as the file has them; of joined parts, all of their pixels.
    medium, frame: None where the file leaves them open, and a note must say what was chosen; of
    several frames, joined by |, each is right.
    bad: wavelengths that must not count, shape (k,).
    error: one sigma of every good pixel, in units of the flux; None: the file has none.
    assumed: words, one of each group joined by | must stand in the notes.
    refused: words of the error, in the same way; None: the file holds a spectrum to read.
    """

    wavelength: Any = None
    medium: str | None = "air"
    frame: str | None = "barycentric"
    scale: float = 1.0
    error: Any = None
    error_or_note: bool = False
    bad: Any = ()
    rv: float | None = None
    berv: float | None = None
    assumed: tuple[str, ...] = ()
    refused: tuple[str, ...] | None = None
    or_refused: tuple[str, ...] | None = None
    joined: bool = False
    options: dict[str, Any] = field(default_factory=dict)


Builder = Callable[[], tuple[bytes, Truth]]


@dataclass(frozen=True)
class Layout:
    """A file of an instrument: its name, its family, who describes it, and its builder."""

    name: str
    kind: str
    cite: str
    build: Builder
    suffix: str = ".fits"


LAYOUTS: dict[str, Layout] = {}


def family(kind: str) -> Callable[..., Any]:
    """Return the decorator that enters builders of this kind of files in the table."""

    def layout(name: str, cite: str, suffix: str = ".fits") -> Callable[[Builder], Builder]:
        def enter(build: Builder) -> Builder:
            assert name not in LAYOUTS
            LAYOUTS[name] = Layout(name, kind, cite, build, suffix)
            return build

        return enter

    return layout


def grid(n: int = 1000, start: float = 5000.0, step: float = 0.1) -> np.ndarray:
    return linear_grid(n, start, step)


def log_grid(n: int = 1000, start: float = 3.699, step: float = 1e-5) -> np.ndarray:
    """Wavelengths of equal steps in their decadic logarithm, about 5000 to 5117 Angstrom."""
    return 10 ** (start + step * np.arange(n))


def flawed(wavelength: np.ndarray, scale: float = 1.0, fill: float = BAD) -> np.ndarray:
    """The flux of a file that flags some pixels."""
    flux = wavelength * scale
    flux[FLAGGED] = fill
    return flux


def flags(n: int = 1000, bad: int = 1, good: int = 0) -> np.ndarray:
    found = np.full(n, good)
    found[FLAGGED] = bad
    return found


def inverse(n: int = 1000, error: float = 2.0) -> np.ndarray:
    """Inverse variances, 0 where the file flags."""
    found = np.full(n, error**-2.0)
    found[FLAGGED] = 0
    return found


CODES = {"f": "D", "i": "J", "u": "J", "b": "L"}


def table(
    name: str = "",
    *,
    cells: bool = False,
    single: tuple[str, ...] = (),
    units: dict[str, str] | None = None,
    header: dict[str, Any] | None = None,
    **columns: Any,
) -> fits.BinTableHDU:
    """A table with one row per pixel, or with one row of array cells; `single` ones in float32."""
    found = []
    for key, values in columns.items():
        values = np.asarray(values)
        code = "E" if key in single else CODES[values.dtype.kind]
        form = f"{values.shape[-1]}{code}" if cells or values.ndim > 1 else code
        array = values if not cells or values.ndim > 1 else values[None, :]
        found.append(fits.Column(key, form, unit=(units or {}).get(key), array=array))
    hdu = fits.BinTableHDU.from_columns(found, name=name or None)
    put(hdu.header, header or {})
    return hdu


def image(data: Any, name: str = "", **keywords: Any) -> fits.ImageHDU:
    hdu = fits.ImageHDU(np.asarray(data), name=name or None)
    put(hdu.header, keywords)
    return hdu


def linear(wavelength: np.ndarray, per: float = 1.0) -> dict[str, Any]:
    """The axis of an image in units of `per` Angstrom."""
    step = (wavelength[1] - wavelength[0]) / per
    return {"CRVAL1": wavelength[0] / per, "CDELT1": step, "CRPIX1": 1.0}


# HARPS and its sisters

harps = family("HARPS and its sisters, S1D")


def _drs(observatory: str, **keywords: Any) -> tuple[bytes, Truth]:
    wavelength = grid()
    drs = {f"{observatory}_DRS_BERV": -12.5, f"{observatory}_DRS_CCF_RVC": -22.7}
    hdu = primary(
        wavelength.astype("f4"), **linear(wavelength), CTYPE1="Angstrom", **drs, **keywords
    )
    truth = Truth(wavelength, berv=-12.5, rv=-22.7, assumed=("medium", "frame"))
    return as_bytes(hdu), truth


@harps("HARPS DRS s1d", "HARPS DRS manual, section 7; ACTIN2 spectrographs/HARPS.py")
def harps_s1d():
    return _drs("ESO", INSTRUME="HARPS", OBJECT="HD128621")


@harps("HARPS-N DRS s1d", "ACTIN2 spectrographs/HARPN.py: CRVAL1, CDELT1, TNG keywords")
def harpn_s1d():
    return _drs("TNG", INSTRUME="HARPN")


@harps("SOPHIE s1d", "SOPHIE archive: the HARPS DRS with OHP keywords; serval inst_SOPHIE")
def sophie_s1d():
    return _drs("OHP", INSTRUME="SOPHIE")


@harps("CORALIE s1d", "ACTIN2 spectrographs/CORALIE.py: HARPS DRS keywords under ESO")
def coralie_s1d():
    return _drs("ESO", INSTRUME="CORALIE")


@harps("HARPS s1d at rest by IRAF", "IRAF dopcor: DOPCORnn = 'velocity apertures'; FASMA's 38 Vir")
def harps_s1d_dopcor():
    data, truth = _drs("ESO", DOPCOR01="-7.04619 all")
    return data, replace(truth, frame="rest", rv=None, assumed=("medium", "DOPCOR"))


def _espresso(**keywords: Any) -> tuple[bytes, Truth]:
    vacuum = 5000.0 * np.exp(np.arange(1000) * 2e-5)
    hdu = table(
        wavelength=vacuum,
        wavelength_air=vacuum - 1.4,
        flux=flawed(vacuum),
        error=np.full(1000, 2.0),
        quality=flags(),
        units={"wavelength": "angstrom", "wavelength_air": "angstrom", "flux": "e-"},
    )
    head = primary(ESO_QC_BERV=3.25, ESO_QC_CCF_RV=-16.6, ESO_PRO_CATG="S1D_A", **keywords)
    truth = Truth(
        vacuum, "vacuum", error=2.0, bad=vacuum[FLAGGED], berv=3.25, rv=-16.6, assumed=("frame",)
    )
    return as_bytes(head, hdu), truth


@harps("ESPRESSO S1D_A", "ESPRESSO DRS manual 2.x: wavelength (vacuum), wavelength_air, flux, ...")
def espresso_s1d():
    return _espresso(INSTRUME="ESPRESSO")


@harps("HARPS S1D_A of the new DRS", "HARPS reprocessed with the ESPRESSO DRS (ESO, 2023)")
def harps_new_s1d():
    return _espresso(INSTRUME="HARPS")


# ESO phase 3: the SDP standard, issue 8: WAVE, FLUX, ERR by name, UCD and UTYPE

phase3 = family("ESO phase-3 products")


def _adp(
    wavelength: np.ndarray,
    per: float = 1.0,
    ucd: str = "em.wl;obs.atmos",
    head: dict[str, Any] | None = None,
    **columns: Any,
) -> bytes:
    unit = {1.0: "Angstrom", 10.0: "nm"}[per]
    hdu = table(
        "SPECTRUM",
        cells=True,
        WAVE=wavelength / per,
        units={"WAVE": unit, "FLUX": "adu"},
        header={"TUCD1": ucd, "VOCLASS": "SPECTRUM V1.0"},
        **columns,
    )
    return as_bytes(primary(**({"PRODCATG": "SCIENCE.SPECTRUM"} | (head or {}))), hdu)


@phase3("ADP of HARPS", "ESO SDP standard; the HARPS release notes: ERR is NaN throughout")
def adp_harps():
    wavelength = grid()
    data = _adp(
        wavelength,
        FLUX=wavelength,
        ERR=np.full(1000, np.nan),
        head={"SPECSYS": "BARYCENT", "ESO_DRS_BERV": -12.5},
    )
    return data, Truth(wavelength, berv=-12.5, assumed=("errors",))


@phase3("ADP of UVES", "UVES release notes: SPECSYS TOPOCENT; erg units of 1e-16 times 1e-20 here")
def adp_uves():
    wavelength, scale = grid(), 1e-20
    data = _adp(
        wavelength,
        FLUX_REDUCED=wavelength,
        ERR_REDUCED=np.full(1000, 2.0),
        FLUX=wavelength * scale,
        ERR=np.full(1000, 2e-21),
        single=("FLUX", "ERR", "FLUX_REDUCED", "ERR_REDUCED"),
        head={"SPECSYS": "TOPOCENT", "ESO_QC_VRAD_BARYCOR": 17.25},
    )
    truth = Truth(wavelength, frame="topocentric", scale=scale, error=2e-21, berv=17.25)
    return data, truth


@phase3("ADP of FEROS", "FEROS release notes: one row of cells, barycentric, in air")
def adp_feros():
    wavelength = grid()
    data = _adp(
        wavelength,
        FLUX=wavelength,
        ERR=np.full(1000, 2.0),
        head={"SPECSYS": "BARYCENT", "INSTRUME": "FEROS"},
    )
    return data, Truth(wavelength, error=2.0)


@phase3("ADP of X-shooter", "X-shooter release notes: nm, TOPOCENT, QUAL 0 is good")
def adp_xshooter():
    wavelength = grid()
    data = _adp(
        wavelength,
        per=10.0,
        FLUX=flawed(wavelength),
        ERR=np.full(1000, 2.0),
        QUAL=flags(bad=16777216),
        SNR=np.full(1000, 50.0),
        head={"SPECSYS": "TOPOCENT", "ESO_QC_VRAD_BARYCOR": -8.5},
    )
    return data, Truth(
        wavelength, frame="topocentric", error=2.0, bad=wavelength[FLAGGED], berv=-8.5
    )


@phase3("ADP of ESPRESSO", "ESPRESSO release notes: WAVE (vacuum, em.wl) beside WAVE_AIR")
def adp_espresso():
    wavelength = grid()
    data = _adp(
        wavelength,
        ucd="em.wl",
        FLUX=flawed(wavelength),
        ERR=np.full(1000, 2.0),
        QUAL=flags(),
        WAVE_AIR=wavelength - 1.4,
        FLUX_EL=wavelength * 3,
        ERR_EL=np.full(1000, 6.0),
        head={"SPECSYS": "BARYCENT", "ESO_QC_BERV": 3.25},
    )
    return data, Truth(wavelength, "vacuum", error=2.0, bad=wavelength[FLAGGED], berv=3.25)


@phase3("ADP of GIRAFFE", "GIRAFFE release notes: nm, heliocentric frame in SPECSYS")
def adp_giraffe():
    wavelength = grid()
    data = _adp(
        wavelength,
        per=10.0,
        FLUX=wavelength,
        ERR=np.full(1000, 2.0),
        head={"SPECSYS": "HELIOCEN"},
    )
    return data, Truth(wavelength, error=2.0, assumed=("heliocentric",))


# ESO pipelines

eso = family("ESO pipelines")


def _uves(category: str, values: Any) -> bytes:
    wavelength = grid()
    return as_bytes(
        primary(
            np.asarray(values, dtype="f4"),
            **linear(wavelength),
            CTYPE1="LAMBDA",
            CUNIT1="Angstrom",
            INSTRUME="UVES",
            ESO_PRO_CATG=category,
            ESO_QC_VRAD_BARYCOR=17.25,
            ESO_QC_VRAD_HELICOR=17.24,
        )
    )


@eso("UVES pipeline, merged", "UVES pipeline manual: air, no correction to the barycenter")
def uves_merged():
    truth = Truth(grid(), frame="topocentric", berv=17.25, assumed=("frame", "medium"))
    return _uves("RED_SCI_POINT_BLUE", grid()), truth


@eso("UVES pipeline, its errors", "UVES pipeline manual: ERRORBAR_* beside RED_SCI_*")
def uves_errors():
    return _uves("ERRORBAR_SCI_POINT_BLUE", np.full(1000, 2.0)), Truth(refused=("error",))


@eso("FEROS pipeline (MIDAS)", "FEROS DRS: rebinned to barycentric air; no keyword says so")
def feros_merged():
    wavelength = grid()
    hdu = primary(
        wavelength.astype("f4"), **linear(wavelength), CUNIT1="Angstrom", INSTRUME="FEROS",
        HISTORY="MIDAS: barycentric correction",
    )  # fmt: skip
    return as_bytes(hdu), Truth(wavelength, assumed=("frame", "medium"))


@eso("X-shooter pipeline, merged", "X-shooter pipeline manual: HDUs FLUX, ERRS, QUAL; nm, air")
def xshooter_merged():
    wavelength = grid()
    axis = linear(wavelength, 10.0) | {"CUNIT1": "nm", "CTYPE1": "WAVE"}
    head = {"ESO_PRO_CATG": "SCI_SLIT_FLUX_MERGE1D_VIS", "ESO_QC_VRAD_BARYCOR": -8.5}
    data = as_bytes(
        primary(flawed(wavelength), EXTNAME="FLUX", **axis, **head, INSTRUME="XSHOOTER"),
        image(np.full(1000, 2.0), "ERRS", **axis),
        image(flags(), "QUAL", **axis),
    )
    return data, Truth(
        wavelength,
        medium=None,  # CTYPE1 says vacuum by the standard, the manual air
        frame="topocentric",
        error=2.0,
        error_or_note=True,
        bad=wavelength[FLAGGED],
        berv=-8.5,
        assumed=("frame", "medium"),
    )


# IRAF

iraf = family("IRAF")

WAT1 = {"WAT0_001": "system=equispec", "WAT1_001": "wtype=linear label=Wavelength units=angstroms"}


@iraf("IRAF onedspec, linear", "IRAF onedspec help specwcs; Magellan MIKE's hd140283")
def iraf_linear():
    wavelength = grid()
    hdu = primary(
        wavelength, CTYPE1="LINEAR", CRVAL1=5000.0, CRPIX1=1.0, CD1_1=0.1, CDELT1=0.1,
        BUNIT="DU/PIXEL", **{"DC-FLAG": 0}, **WAT1,
    )  # fmt: skip
    return as_bytes(hdu), Truth(wavelength, assumed=("frame", "medium"))


@iraf("IRAF onedspec, logarithmic", "IRAF onedspec help specwcs: DC-FLAG 1, log10")
def iraf_log():
    wavelength = log_grid()
    hdu = primary(
        wavelength, CTYPE1="LINEAR", CRVAL1=3.699, CRPIX1=1.0, CD1_1=1e-5,
        **{"DC-FLAG": 1}, **WAT1,
    )  # fmt: skip
    return as_bytes(hdu), Truth(wavelength, assumed=("frame", "medium"))


@iraf("IRAF apall, four bands", "IRAF apextract help: BANDID1 spectrum ... BANDID4 sigma")
def iraf_bands():
    wavelength = grid()
    rows = np.stack([wavelength, wavelength * 7, np.full(1000, 100.0), np.full(1000, 2.0)])
    hdu = primary(
        rows[:, None, :], CTYPE1="LINEAR", CRVAL1=5000.0, CRPIX1=1.0, CD1_1=0.1, **WAT1,
        BANDID1="spectrum - background fit, weights variance, clean no",
        BANDID2="raw - background fit, weights none, clean no",
        BANDID3="background - background fit", BANDID4="sigma - background fit",
    )  # fmt: skip
    return as_bytes(hdu), Truth(
        wavelength, error=2.0, error_or_note=True, assumed=("rows|bands|band",)
    )


@iraf("IRAF pixels for unit, WAT for the truth", "IRAF: WAT1_001 counts, whatever CUNIT1 says")
def iraf_pixel_unit():
    wavelength = grid()
    hdu = primary(
        wavelength, CTYPE1="LINEAR", CRVAL1=5000.0, CRPIX1=1.0, CD1_1=0.1, CUNIT1="pixel", **WAT1
    )
    return as_bytes(hdu), Truth(wavelength)


@iraf("IRAF onedspec after dopcor", "IRAF dopcor notes what it did, not why")
def iraf_dopcor():
    wavelength = grid()
    hdu = primary(
        wavelength, CTYPE1="LINEAR", CRVAL1=5000.0, CRPIX1=1.0, CD1_1=0.1, **WAT1,
        DOPCOR01="-162. all",
    )  # fmt: skip
    return as_bytes(hdu), Truth(wavelength, frame=None, assumed=("DOPCOR",))


def _multispec(specs: list[str], rows: np.ndarray) -> bytes:
    text = "wtype=multispec " + " ".join(
        f'spec{number} = "{spec}"' for number, spec in enumerate(specs, 1)
    )
    keywords = {f"WAT2_{at // 68 + 1:03d}": text[at : at + 68] for at in range(0, len(text), 68)}
    return as_bytes(
        primary(
            rows,
            CTYPE1="MULTISPE",
            CTYPE2="MULTISPE",
            WAT0_001="system=multispec",
            WAT1_001=WAT1["WAT1_001"],
            **keywords,
        )
    )


def _two_orders() -> tuple[bytes, np.ndarray, np.ndarray]:
    one, two = grid(600, 5000.0, 0.1), grid(600, 5050.0, 0.1)
    specs = [f"{i} {80 - i} 0 {w[0]} 0.1 600 0. 1. 2." for i, w in enumerate((one, two), 1)]
    return _multispec(specs, np.stack([one, two])), one, two


@iraf("IRAF equispec, two apertures", "IRAF apextract: APNUMn an aperture, two stars of a slit")
def iraf_apertures():
    wavelength = grid()
    hdu = primary(
        np.stack([wavelength, wavelength * 9]), CTYPE1="LINEAR", CRVAL1=5000.0, CRPIX1=1.0,
        CD1_1=0.1, **WAT1, APNUM1="1 1 10.0 20.0", APNUM2="2 2 50.0 60.0",
    )  # fmt: skip
    return as_bytes(hdu), Truth(refused=("--hdu|hdu=",))


@iraf("UVES_popler", "UVES_popler: rows of flux, error, ...; DC-FLAG 1, vacuum, heliocentric")
def uves_popler():
    wavelength = log_grid()
    rows = np.stack([wavelength, np.full(1000, 2.0), np.full(1000, 2.0), np.ones(1000),
                     np.ones(1000)])  # fmt: skip
    names = ("Normalised flux", "Normalised error", "Expected fluctuation", "Continuum", "Status")
    head = {f"ARRAY{k}": name for k, name in enumerate(names, 1)}
    axis = {"CTYPE1": "LINEAR", "CRVAL1": 3.699, "CRPIX1": 1.0, "CD1_1": 1e-5, "DC-FLAG": 1}
    return as_bytes(primary(rows, **axis, **head)), Truth(
        wavelength, None, None, error=2.0, error_or_note=True, assumed=("row",)
    )


@iraf("IRAF multispec, two orders", "IRAF specwcs: each row a dispersion of its own in WAT2_nnn")
def iraf_orders():
    data, one, two = _two_orders()
    return data, Truth(np.union1d(one, two), joined=True, or_refused=("--hdu|hdu=",))


@iraf("IRAF multispec, its second order", "as the one before, with hdu='0:2'")
def iraf_second_order():
    data, _, two = _two_orders()
    return data, Truth(two, options={"hdu": "0:2"})


@iraf("IRAF multispec, Chebyshev", "IRAF specwcs, dtype 2: ftype 1; serval inst_FIES reads it")
def iraf_chebyshev():
    pixel = np.arange(1.0, 1001.0)
    at = (pixel - 500.5) / 499.5
    wavelength = 5050.0 + 50.0 * at + 0.4 * (2 * at**2 - 1)
    spec = "1 80 2 4999.6 0.1 1000 0. 1. 2. 1. 0. 1 3 1. 1000. 5050. 50. 0.4"
    return _multispec([spec], wavelength[None, :]), Truth(
        wavelength, or_refused=("polynomial|dispersion|multispec",)
    )


@iraf("merged echelle with BCV", "IRAF bcvcorr writes BCV and VHELIO, and shifts nothing")
def echelle_bcv():
    wavelength = grid()
    hdu = primary(
        wavelength, CTYPE1="LINEAR", CRVAL1=5000.0, CRPIX1=1.0, CD1_1=0.1, **WAT1, BCV=11.25
    )
    return as_bytes(hdu), Truth(wavelength, frame="topocentric", berv=11.25, assumed=("frame",))


@iraf("a star's VHELIO", "IRAF rvcorrect with an observed velocity: VHELIO is the star's")
def star_vhelio():
    wavelength = grid()
    hdu = primary(wavelength, **linear(wavelength), CUNIT1="Angstrom", VHELIO=-85.0)
    return as_bytes(hdu), Truth(wavelength, assumed=("frame",))


@iraf("RADVEL of an observatory's form", "RADVEL = 0.0 is what several observatories preset")
def radvel_zero():
    wavelength = grid()
    hdu = primary(wavelength, **linear(wavelength), CUNIT1="Angstrom", RADVEL=0.0)
    return as_bytes(hdu), Truth(wavelength, rv=None)


# SDSS family

sdss = family("SDSS family and APOGEE")

SDSS = {"TELESCOP": "SDSS 2.5-M", "FIBERID": 7, "VERS2D": "v5_10_0"}


def _coadd(names: Callable[[str], str] = str.lower, name: str = "COADD") -> fits.BinTableHDU:
    wavelength = log_grid()
    columns = {
        "flux": flawed(wavelength, fill=0.0),
        "loglam": np.log10(wavelength),
        "ivar": inverse(),
        "and_mask": flags(bad=0),
        "or_mask": np.full(1000, 4),
    }
    return table(name, **{names(key): values for key, values in columns.items()})


def _sdss_truth(**changes: Any) -> Truth:
    wavelength = log_grid()
    truth = Truth(wavelength, "vacuum", error=2.0, bad=wavelength[FLAGGED], assumed=("frame",))
    return replace(truth, **changes)


@sdss("SDSS spec-lite", "SDSS data model spec: COADD, loglam vacuum; specutils sdss.py")
def sdss_spec():
    return as_bytes(primary(**SDSS), _coadd()), _sdss_truth()


@sdss("BOSS spec with its exposures", "SDSS data model spec: HDU 4 and on are single exposures")
def boss_spec():
    other = log_grid(1000, 3.6985)
    exposures = [
        table(name, flux=other * 50, loglam=np.log10(other), ivar=np.ones(1000))
        for name in ("B1-00114915-00114838", "R1-00114915-00114838")
    ]
    summary = table("SPECOBJ", Z=np.array([0.001]), PLUG_RA=np.array([12.0]))
    return as_bytes(primary(**SDSS), _coadd(), summary, *exposures), _sdss_truth()


@sdss("SDSS spec, nearly all of it flagged", "ivar 0 says that a pixel is not to be used")
def sdss_flagged():
    wavelength = log_grid()
    ivar = np.zeros(1000)
    ivar[450:500] = 0.25
    bad = wavelength[ivar == 0]
    flux = np.where(ivar == 0, BAD, wavelength)
    hdu = table("COADD", flux=flux, loglam=np.log10(wavelength), ivar=ivar)
    return as_bytes(primary(**SDSS), hdu), _sdss_truth(bad=bad, or_refused=("ivar|errors|pixels",))


@sdss("SDSS-V BOSS spec", "specutils sdss_v.py: FLUX, LOGLAM, IVAR in HDU 1")
def sdss_v_spec():
    head = SDSS | {"VERS2D": "v6_1_0"}
    return as_bytes(primary(**head), _coadd(str.upper)), _sdss_truth()


@sdss("SDSS DR7 spSpec", "specutils sdss.py: row 1 flux, 3 error, 4 mask; COEFF0, COEFF1")
def sdss_spspec():
    wavelength = log_grid()
    rows = np.stack(
        [flawed(wavelength), wavelength / 2, np.full(1000, 2.0), flags(), np.zeros(1000)]
    )
    rows[2, FLAGGED] = 0
    head = {"COEFF0": 3.699, "COEFF1": 1e-5, "CRVAL1": 3.699, "CD1_1": 1e-5, "DC-FLAG": 1}
    return as_bytes(primary(rows, **head, **SDSS)), _sdss_truth(error_or_note=True)


def _plate() -> tuple[bytes, np.ndarray]:
    wavelength = log_grid()
    axis = {"COEFF0": 3.699, "COEFF1": 1e-5, "CRVAL1": 3.699, "CD1_1": 1e-5, "DC-FLAG": 1}
    data = as_bytes(
        primary(np.stack([flawed(wavelength, k) for k in range(1, 21)]), **axis, **SDSS),
        image(np.stack([inverse()] * 20), "IVAR"),
        image(np.stack([flags()] * 20).astype("i4"), "ANDMASK"),
        table("PLUGMAP", OBJID=np.arange(20)),
    )
    return data, wavelength


@sdss("SDSS spPlate", "specutils sdss.py: a row a fiber; HDU 1 ivar, 2 and-mask, 5 plug map")
def spplate():
    return _plate()[0], Truth(refused=("row|fiber|20", "--hdu|hdu="))


@sdss("SDSS spPlate, its third fiber", "the one before, with hdu='0:3'")
def spplate_fiber():
    data, wavelength = _plate()
    return data, _sdss_truth(
        wavelength=wavelength, scale=3.0, error_or_note=True, options={"hdu": "0:3"}
    )


@sdss("MaStar", "MaNGA stellar library: a table row a star, cells WAVE, FLUX, IVAR, MASK")
def mastar():
    return _mastar(), Truth(refused=("row|star|target", "--hdu|hdu="))


def _mastar() -> bytes:
    wavelength = log_grid()
    rows = np.stack([wavelength * k for k in (1, 2, 3)])
    return as_bytes(
        fits.PrimaryHDU(),
        table("GOODSPEC", MANGAID=np.arange(3), WAVE=np.stack([wavelength] * 3), FLUX=rows,
              IVAR=np.full((3, 1000), 0.25), MASK=np.zeros((3, 1000), int)),
    )  # fmt: skip


@sdss("MaStar, its second star", "the one before, with hdu='GOODSPEC:2'")
def mastar_star():
    truth = Truth(log_grid(), None, None, scale=2.0, error=2.0, options={"hdu": "GOODSPEC:2"})
    return _mastar(), truth


@sdss("SDSS-V mwmStar", "specutils sdss_v.py: four tables, of which empty ones have no rows")
def mwm_star():
    wavelength = log_grid()
    full = table(
        "BOSS/APO", cells=True, wavelength=wavelength, flux=flawed(wavelength), ivar=inverse(),
        pixel_flags=flags(),
    )  # fmt: skip
    empty = [
        fits.BinTableHDU(full.data[:0], name=name)
        for name in ("BOSS/LCO", "APOGEE/APO", "APOGEE/LCO")
    ]
    head = primary(V_ASTRA="0.6.0", SDSS_ID=123)
    truth = _sdss_truth(medium=None, frame=None, assumed=("frame", "medium"))
    return as_bytes(head, full, *empty), truth


APOGEE = {"SURVEY": "apogee", "TELESCOP": "apo25m"}


def _apogee(n: int = 1000) -> np.ndarray:
    return 10 ** (4.179 + 6e-6 * np.arange(n))


APOGEE_AXIS = {
    "CRVAL1": 4.179,
    "CDELT1": 6e-6,
    "CRPIX1": 1,
    "CTYPE1": "LOG-LINEAR",
    "DC-FLAG": 1,
}


@sdss("APOGEE apStar", "data model apStar: combined spectrum in row 1, at rest, log10, vacuum")
def apstar():
    wavelength = _apogee()
    rows = np.stack([flawed(wavelength), flawed(wavelength), wavelength * 3])
    # VHELIO is the star's velocity here, not a correction.
    data = as_bytes(
        primary(**APOGEE, SFILE1="apVisit-r12-1.fits", VHELIO=12.5),
        image(rows, BUNIT="Flux (10^-17 erg/s/cm^2/Ang)", **APOGEE_AXIS),
        image(np.full((3, 1000), 2.0), BUNIT="Err (10^-17 erg/s/cm^2/Ang)", **APOGEE_AXIS),
        image(np.stack([flags()] * 3).astype("i4"), BUNIT="Pixel Mask", **APOGEE_AXIS),
    )
    return data, Truth(
        wavelength, "vacuum", "rest|barycentric", error=2.0, error_or_note=True,
        bad=wavelength[FLAGGED], assumed=("frame",),
    )  # fmt: skip


@sdss("APOGEE aspcapStar", "specutils apogee.py: HDU 1 flux, 2 error, 3 the best model")
def aspcapstar():
    wavelength = _apogee(8575)
    data = as_bytes(
        primary(**APOGEE),
        image(wavelength, BUNIT="Flux", **APOGEE_AXIS),
        image(np.full(8575, 2.0), BUNIT="Err", **APOGEE_AXIS),
        image(wavelength * 3, BUNIT="Flux", **APOGEE_AXIS),
        table(ASPCAPFLAG=np.array([0])),
    )
    return data, Truth(
        wavelength, "vacuum", "rest|barycentric", error=2.0, error_or_note=True, assumed=("frame",)
    )


@sdss("APOGEE apVisit", "specutils apogee.py: three chips in rows, wavelengths in HDU 4")
def apvisit():
    chips = np.stack([16500 - 0.2 * np.arange(500), 16000 - 0.2 * np.arange(500),
                      15500 - 0.2 * np.arange(500)])  # fmt: skip
    data = as_bytes(
        primary(**APOGEE),
        image(chips, BUNIT="Flux (10^-17 erg/s/cm^2/Ang)"),
        image(np.full((3, 500), 2.0), BUNIT="Flux error"),
        image(np.zeros((3, 500), "i4"), BUNIT="Pixel mask"),
        image(chips, BUNIT="Wavelength (Ang)"),
    )
    return data, Truth(
        np.sort(chips.ravel()), None, None, joined=True, or_refused=("--hdu|hdu=|order",)
    )


# LAMOST, DESI, GALAH and other surveys

survey = family("other surveys")


@survey("LAMOST LRS, to DR7", "LAMOST data release: rows flux, ivar, wavelength, masks; vacuum")
def lamost_image():
    wavelength = log_grid()
    rows = np.stack(
        [flawed(wavelength, fill=0.0), inverse(), wavelength, np.zeros(1000), np.zeros(1000)]
    )
    head = {"COEFF0": 3.699, "COEFF1": 1e-5, "CRVAL1": 3.699, "CD1_1": 1e-5, "DC-FLAG": 1,
            "VACUUM": True, "HELIO": True, "ROW1": "Flux", "ROW2": "Inverse",
            "TELESCOP": "LAMOST"}  # fmt: skip
    truth = _sdss_truth(error_or_note=True, assumed=("frame|helio",))
    return as_bytes(primary(rows.astype("f4"), **head)), truth


@survey("LAMOST LRS, from DR8", "LAMOST data release: one row of cells FLUX, IVAR, WAVELENGTH, ...")
def lamost_table():
    wavelength = log_grid()
    hdu = table(
        "COADD", cells=True, FLUX=flawed(wavelength), IVAR=inverse(), WAVELENGTH=wavelength,
        ANDMASK=flags(), ORMASK=np.full(1000, 4), NORMALIZATION=wavelength / wavelength,
    )  # fmt: skip
    head = primary(TELESCOP="LAMOST", VACUUM=True)
    return as_bytes(head, hdu), _sdss_truth(assumed=("frame",))


def _arm(start: float, n: int = 1000) -> np.ndarray:
    return log_grid(n, np.log10(start), 8e-6)


def _mrs_table(name: str, wavelength: np.ndarray, factor: float = 1.0) -> fits.BinTableHDU:
    return table(
        name, FLUX=flawed(wavelength, factor), IVAR=inverse(), LOGLAM=np.log10(wavelength),
        ANDMASK=flags(),
    )  # fmt: skip


@survey("LAMOST MRS", "LAMOST MRS data release: COADD_B, COADD_R, and tables of the exposures")
def lamost_mrs():
    blue, red = _arm(4950.0), _arm(6300.0)
    data = as_bytes(
        primary(TELESCOP="LAMOST", VACUUM=True),
        _mrs_table("COADD_B", blue),
        _mrs_table("COADD_R", red),
        _mrs_table("B-84420148-5", blue * 1.0001, 9.0),
        _mrs_table("R-84420148-5", red * 1.0001, 9.0),
    )
    truth = _sdss_truth(
        wavelength=np.concatenate([blue, red]),
        bad=np.concatenate([blue[FLAGGED], red[FLAGGED]]),
        joined=True,
        assumed=("frame", "COADD_B|join"),
    )
    return data, truth


@survey("LAMOST MRS, a dead arm", "as the one before; an arm without data has flux and ivar 0")
def lamost_dead_arm():
    blue, red = _arm(4950.0), _arm(6300.0)
    dead = table(
        "COADD_R", FLUX=np.zeros(1000), IVAR=np.zeros(1000), LOGLAM=np.log10(red),
        ANDMASK=np.zeros(1000, int),
    )  # fmt: skip
    data = as_bytes(primary(TELESCOP="LAMOST", VACUUM=True), _mrs_table("COADD_B", blue), dead)
    return data, _sdss_truth(wavelength=blue, bad=blue[FLAGGED], assumed=("frame",))


@survey("two arms that overlap", "LAMOST MRS style tables, overlapping: weighted by ivar")
def overlapping_arms():
    blue, red = _arm(5000.0), _arm(5050.0)
    data = as_bytes(primary(VACUUM=True), _mrs_table("COADD_B", blue), _mrs_table("COADD_R", red))
    truth = _sdss_truth(
        wavelength=np.union1d(blue, red),
        bad=blue[FLAGGED],
        joined=True,
        assumed=("join|COADD_B",),
    )
    return data, truth


def _desi(targets: int) -> tuple[bytes, np.ndarray, np.ndarray]:
    blue, red = grid(800, 5000.0, 0.1), grid(800, 5070.0, 0.1)
    keywords = {"INSTRUME": "DESI", "TELESCOP": "KPNO 4.0-m telescope"}
    hdus = [table("FIBERMAP", TARGETID=np.arange(targets), header=keywords)]
    for arm, wavelength in (("B", blue), ("R", red)):
        rows = np.stack([flawed(wavelength)] + [wavelength * 9] * (targets - 1))
        hdus += [
            image(wavelength, f"{arm}_WAVELENGTH", BUNIT="Angstrom"),
            image(rows, f"{arm}_FLUX", BUNIT="10**-17 erg/(s cm2 Angstrom)"),
            image(np.stack([inverse(800)] * targets), f"{arm}_IVAR"),
            image(np.stack([flags(800)] * targets).astype("i4"), f"{arm}_MASK"),
        ]
    bad = np.concatenate([blue[FLAGGED], red[FLAGGED]])
    return as_bytes(primary(SURVEY="main", SPGRP="healpix"), *hdus), np.union1d(blue, red), bad


@survey("DESI coadd of one target", "desispec io.spectra; DESI EDR: vacuum; specutils desi.py")
def desi_one():
    data, wavelength, bad = _desi(1)
    return data, Truth(
        wavelength, "vacuum", bad=bad, joined=True, assumed=("join|arm|B_", "frame"),
        or_refused=("--hdu|hdu=",),
    )  # fmt: skip


@survey("DESI coadd of a pixel", "desispec io.spectra: a row a target")
def desi_many():
    data, _, _ = _desi(3)
    return data, Truth(refused=("row|target", "--hdu|hdu="))


@survey(
    "GALAH DR3, an arm", "specutils galah.py; GALAH FITS standard: heliocentric; relative errors"
)
def galah():
    wavelength = grid()
    axis = linear(wavelength) | {"CTYPE1": "Wavelength", "CUNIT1": "Angstroms"}
    data = as_bytes(
        primary(wavelength, **axis, ORIGIN="GALAH", EXTNAME="input_spectrum"),
        image(np.full(1000, 0.01), "relative_error_input", **axis),
        image(wavelength * 3, "raw_spectrum", **axis),
        image(np.full(1000, 0.02), "relative_error_raw", **axis),
        image(wavelength / wavelength, "normalised_spectrum", **axis),
    )
    return data, Truth(
        wavelength, error=wavelength * 0.01, error_or_note=True, assumed=("frame", "medium")
    )


@survey("OzDES", "specutils ozdes.py: HDU 0 combined flux, 1 variance; the rest single exposures")
def ozdes():
    wavelength = grid()
    axis = linear(wavelength) | {"CUNIT1": "Angstrom"}
    data = as_bytes(
        primary(wavelength, **axis),
        image(np.full(1000, 4.0), "VARIANCE", **axis),
        image(np.zeros(1000, "i2"), "BAD_PIX", **axis),
        image(wavelength * 5, "20130905_RM1", **axis),
        image(np.full(1000, 90.0), "20130905_VAR", **axis),
    )
    return data, Truth(wavelength, error=2.0, error_or_note=True)


@survey("GAMA", "specutils gama.py: rows flux, error, raw flux, raw error, sky")
def gama():
    wavelength = grid()
    rows = np.stack(
        [wavelength, np.full(1000, 2.0), wavelength * 9, np.full(1000, 18.0), np.ones(1000)]
    )
    head = linear(wavelength) | {"CUNIT1": "Angstrom", "ORIGIN": "GAMA", "GAMANAME": "G1",
                                 "ROW1": "Spectrum", "ROW2": "Error"}  # fmt: skip
    return as_bytes(primary(rows, **head)), Truth(
        wavelength, error=2.0, error_or_note=True, assumed=("row",)
    )


@survey("6dFGS, tabular", "specutils sixdfgs_reader.py: columns WAVE and FLUX")
def sixdf():
    wavelength = grid()
    hdu = table(WAVE=wavelength, FLUX=wavelength, units={"WAVE": "ANGSTROM", "FLUX": "counts/s"})
    return as_bytes(primary(Z=0.01, Z_HELIO=0.01, QUALITY=4), hdu), Truth(wavelength)


@survey("2dF fibers in rows", "2dfdr: HDU 0 per row a fiber, 1 variance, 2 fiber table")
def twodf():
    return _fibers(), Truth(refused=("row|fiber|40", "--hdu|hdu="))


@survey("MUSE, an extracted spectrum", "MPDAF Spectrum: HDUs DATA, STAT (the variance), DQ; air")
def muse():
    wavelength = grid()
    axis = linear(wavelength) | {"CTYPE1": "AWAV", "CUNIT1": "Angstrom", "SPECSYS": "BARYCENT"}
    data = as_bytes(
        primary(INSTRUME="MUSE"),
        image(flawed(wavelength), "DATA", **axis),
        image(np.full(1000, 4.0), "STAT", **axis),
        image(flags().astype("i4"), "DQ", **axis),
    )
    return data, Truth(wavelength, error=2.0, error_or_note=True, bad=wavelength[FLAGGED])


@survey("WEAVE L1, five fibers", "WEAVE data model: rows are fibers; FIBTABLE names the targets")
def weave():
    wavelength = grid()
    axis = linear(wavelength) | {"CTYPE1": "WAVE", "CUNIT1": "Angstrom"}
    data = as_bytes(
        primary(CAMERA="WEAVEBLUE"),
        image(np.stack([wavelength * k for k in range(1, 6)]), "BLUE_DATA", **axis),
        image(np.ones((5, 1000)), "BLUE_IVAR", **axis),
        table("FIBTABLE", FIBREID=np.arange(5), NSPEC=np.arange(1, 6)),
    )
    return data, Truth(refused=("row|fib|target", "--hdu|hdu="))


def _fibers() -> bytes:
    wavelength = grid()
    axis = linear(wavelength) | {"CUNIT1": "Angstrom", "CTYPE1": "Wavelength"}
    return as_bytes(
        primary(np.stack([wavelength * k for k in range(1, 41)]), **axis),
        image(np.full((40, 1000), 4.0), "VARIANCE"),
        table("FIBRES", NAME=np.arange(40)),
    )


@survey("2dF, its fifth fiber", "the fibers before, with hdu='0:5'")
def twodf_fiber():
    return _fibers(), Truth(
        grid(), scale=5.0, error=2.0, error_or_note=True, options={"hdu": "0:5"}
    )


@survey("Gaia RVS from the archive", "Gaia DR3 documents, 20.6: nm, vacuum, at rest", ".csv")
def gaia_rvs():
    wavelength = grid(1200, 8460.0, 0.1)
    rows = "\n".join(f"{w / 10:.3f},{w:.4f},2.0" for w in wavelength)
    return f"wavelength,flux,flux_error\n{rows}\n".encode(), Truth(
        wavelength, None, None, error=2.0, assumed=("medium", "frame", "nm")
    )


# PypeIt, Keck, Magellan

keck = family("PypeIt, Keck, Magellan")


@keck("PypeIt coadd1d", "PypeIt onespec.py: vacuum; mask 1 = good")
def pypeit_onespec():
    wavelength = grid()
    hdu = table(
        "SPECTRUM",
        wave=wavelength,
        wave_grid_mid=wavelength + 0.01,
        flux=flawed(wavelength),
        ivar=inverse(),
        sigma=np.full(1000, 2.0),
        mask=flags(bad=0, good=1),
        header={"DMODCLS": "OneSpec", "PYP_SPEC": "keck_hires"},
    )
    return as_bytes(fits.PrimaryHDU(), hdu), Truth(
        wavelength, "vacuum", None, error=2.0, bad=wavelength[FLAGGED], assumed=("mask",)
    )


def _spec1d(wavelength: np.ndarray, name: str, factor: float = 1.0) -> fits.BinTableHDU:
    return table(
        name,
        TRACE_SPAT=np.arange(1000.0),
        OPT_WAVE=wavelength,
        OPT_COUNTS=flawed(wavelength, factor),
        OPT_COUNTS_IVAR=inverse(),
        OPT_MASK=flags(bad=0, good=1).astype(bool),
        header={"DMODCLS": "SpecObj", "VEL_TYPE": "heliocentric", "VEL_CORR": 1.00003},
    )


@keck("PypeIt spec1d of two objects", "PypeIt specobj.py: an HDU an object")
def pypeit_objects():
    data = as_bytes(
        primary(PYP_SPEC="keck_deimos"),
        _spec1d(grid(), "SPAT0176-SLIT0185-DET01"),
        _spec1d(grid(), "SPAT0370-SLIT0385-DET01", 9.0),
    )
    return data, Truth(
        refused=(
            "SPAT0176-SLIT0185-DET01",
            "--hdu|hdu=",
        )
    )


@keck("PypeIt spec1d, one of them", "the one before, with hdu='SPAT0370-SLIT0385-DET01'")
def pypeit_object():
    data, _ = pypeit_objects()
    wavelength = grid()
    return data, Truth(
        wavelength, "vacuum", None, scale=9.0, error=2.0, bad=wavelength[FLAGGED],
        options={"hdu": "SPAT0370-SLIT0385-DET01"},
    )  # fmt: skip


@keck("HIRES by MAKEE", "KOA: orders in rows, WV_0_nn and WV_4_nn polynomials", ".fits")
def makee():
    rows = np.stack([grid(1100, 5000.0 + 70 * k) for k in range(20)])
    keys = {f"WV_0_{k:02d}": f"{5000.0 + 70 * (k - 1)} 0.1 0. 0." for k in range(1, 21)}
    return as_bytes(primary(rows.astype("f4"), INSTRUME="HIRES", **keys)), Truth(
        refused=("order|frame|merged|extracted",)
    )


@keck("one image HDU an order", "HIRES HDU per order: OBJECT = 'ORDER: 1 ...'")
def order_hdus():
    orders = [grid(600, 5000.0 + 50 * k) for k in range(3)]
    hdus = [
        image(w.astype("f4"), **linear(w), CUNIT1="Angstrom", OBJECT=f"ORDER: {k} HD 1")
        for k, w in enumerate(orders, 1)
    ]
    wavelength = np.unique(np.concatenate(orders))
    return as_bytes(fits.PrimaryHDU(), *hdus), Truth(
        wavelength, joined=True, or_refused=("--hdu|hdu=",), assumed=("join|order|HDU",)
    )


@keck("MIKE by CarPy", "CarPy multispec: 7 bands x orders x pixels, polynomial dispersions")
def mike_carpy():
    specs = [
        f"{k} {80 - k} 2 5000. 0.1 600 0. 1. 2. 1. 0. 1 2 1. 600. {5030.0 + 50 * k} 30."
        for k in range(1, 21)
    ]
    rows = np.stack([np.stack([5030.0 + 50 * k + np.linspace(-30, 30, 600)
                               for k in range(1, 21)])] * 7)  # fmt: skip
    return _multispec(specs, rows), Truth(refused=("order|aperture|hdu|merged|rows|extracted",))


# other echelle spectrographs

echelle = family("other spectrographs")


def _espadons(columns: list[np.ndarray]) -> bytes:
    lines = [" ".join(f"{v:12.6f}" for v in row) for row in zip(*columns, strict=True)]
    title = f"***Reduced spectrum of 'HD 1'\n {len(lines)} {len(columns) - 1}\n"
    return (title + "\n".join(lines) + "\n").encode()


ESPADONS = "Libre-ESpRIT: title, count line, nm in air, heliocentric; serval inst_NARVAL, iSpec"


@echelle("NARVAL .s, intensity", ESPADONS, ".s")
def narval_intensity():
    wavelength = grid()
    data = _espadons([wavelength / 10, wavelength, np.full(1000, 2.0)])
    return data, Truth(wavelength, error=2.0, assumed=("frame", "medium"))


@echelle("ESPaDOnS .s, polarization", ESPADONS + "; I, V, N1, N2, sigma last", ".s")
def espadons_polarization():
    wavelength = grid()
    zero = np.full(1000, 0.001)
    data = _espadons([wavelength / 10, wavelength, zero, zero, zero, np.full(1000, 2.0)])
    return data, Truth(wavelength, error=2.0, error_or_note=True, assumed=("frame", "medium"))


@echelle("ESPaDOnS .s, overlapping orders", ESPADONS, ".s")
def espadons_orders():
    one, two = grid(600, 5000.0), grid(600, 5050.0)
    wavelength = np.concatenate([one, two])
    data = _espadons([wavelength / 10, wavelength, np.full(1200, 2.0)])
    return data, Truth(np.union1d(one, two), joined=True, or_refused=("overlap|order",))


@echelle("ESPaDOnS i.fits (UPENA)", "CADC: rows of wavelength (nm), intensity, error, four times")
def upena():
    wavelength = grid()
    one = [wavelength / 10, wavelength, np.full(1000, 2.0)]
    rows = np.stack(one * 4)
    keys = {
        f"COL{k}": name for k, name in enumerate(("Wavelength", "Intensity", "ErrorBar") * 4, 1)
    }
    return as_bytes(primary(rows.astype("f8"), INSTRUME="ESPaDOnS", **keys)), Truth(
        wavelength, None, None, error_or_note=True,
        or_refused=("row|column|axis|wavelength|order",),
    )  # fmt: skip


@echelle("ELODIE archive s1d", "Moultaka et al. 2004: flux in HDU 0, error in HDU 1; air, 0.05 A")
def elodie():
    wavelength = grid()
    axis = linear(wavelength) | {"CTYPE1": "AWAV", "CUNIT1": "0.1 nm"}
    data = as_bytes(
        primary(wavelength, **axis, INSTRUME="ELODIE", OBJECT="HD1"),
        image(np.full(1000, 2.0), "NOISE", **axis),
    )
    return data, Truth(wavelength, error=2.0, error_or_note=True, assumed=("frame",))


@echelle("HERMES log_merged_c", "Mercator archive: ln(Angstrom); BVCOR is applied in ..._merged_c")
def hermes():
    wavelength = np.exp(8.517 + 1.5e-5 * np.arange(1000))
    head = {"CRVAL1": 8.517, "CDELT1": 1.5e-5, "CRPIX1": 1.0, "CTYPE1": "log(wavelength)"}
    return as_bytes(primary(wavelength, **head, BVCOR=-18.6, BJD=2460828.4)), Truth(
        wavelength, assumed=("frame", "medium")
    )


@echelle("NEID L2", "NEID data format: SCIFLUX, SCIWAVE, SCIVAR, orders in rows, not merged")
def neid():
    rows = np.stack([grid(1100, 5000.0 + 70 * k) for k in range(20)])
    return as_bytes(
        primary(INSTRUME="NEID"),
        image(rows, "SCIFLUX"), image(rows, "SCIWAVE"),
        image(np.ones((20, 1100)), "SCIVAR"),
    ), Truth(refused=("order|merged",))  # fmt: skip


@echelle("EXPRES optimal extraction", "serval inst_EXPRES: a table row an order, bary_wavelength")
def expres():
    rows = np.stack([grid(500, 5000.0 + 40 * k) for k in range(20)])
    hdu = table(
        "optimal", wavelength=rows * 1.00005, bary_wavelength=rows,
        spectrum=rows, continuum=np.ones((20, 500)), uncertainty=np.full((20, 500), 2.0),
    )  # fmt: skip
    return as_bytes(primary(INSTRMNT="EXPRES"), hdu), Truth(
        np.unique(rows), "vacuum", joined=True, assumed=("name of the wavelength column",)
    )  # fmt: skip


@echelle("CARMENES", "serval inst_CARM_VIS: SPEC, CONT, SIG, WAVE, orders in rows, vacuum")
def carmenes():
    rows = np.stack([grid(1100, 5000.0 + 70 * k) for k in range(61)])
    return as_bytes(
        primary(INSTRUME="CARMENES", **{"HIERARCH CARACAL BERV": 5.0}),
        image(rows, "SPEC"), image(np.ones_like(rows), "CONT"),
        image(np.ones_like(rows), "SIG"),
        image(rows, "WAVE"),
    ), Truth(refused=("order|merged",))  # fmt: skip


@echelle("CARMENES, an order", "serval inst_CARM_VIS takes WAVE as it is: vacuum; hdu='SPEC:3'")
def carmenes_order():
    data, _ = carmenes()
    wavelength = grid(1100, 5000.0 + 70 * 2)
    return data, Truth(wavelength, "vacuum", None, error=1.0, options={"hdu": "SPEC:3"})


@echelle("CERES cube", "CERES: planes of wavelength, flux, ... by orders; serval FEROS_CERES")
def ceres():
    rows = np.stack([grid(1100, 5000.0 + 70 * k) for k in range(20)])
    return as_bytes(primary(np.stack([rows] * 11).astype("f4"), PIPELINE="CERES")), Truth(
        refused=("order|merged|extracted",)
    )


@echelle("KPF L1", "KPF data model: GREEN_SCI_FLUX1, GREEN_SCI_WAVE1, ..., orders in rows")
def kpf():
    rows = np.stack([grid(1100, 5000.0 + 70 * k) for k in range(20)])
    hdus = [
        image(rows, f"{chip}_SCI_{what}1")
        for chip in ("GREEN", "RED")
        for what in ("FLUX", "VAR", "WAVE")
    ]
    return as_bytes(primary(INSTRUME="KPF"), *hdus), Truth(refused=("order|merged",))


@echelle("GIANO ms1d", "GOFIO: a table row an order, ORDER, WAVE (nm, vacuum), FLUX, SNR")
def giano():
    rows = np.stack([grid(500, 15000.0 + 200 * k, 0.4) for k in range(20)])
    hdu = table(ORDER=np.arange(20), WAVE=rows / 10, FLUX=rows, SNR=rows / rows)
    return as_bytes(primary(INSTRUME="GIANO-B"), hdu), Truth(refused=("order|row",))


@echelle("IRTF SpeX library", "Rayner et al. 2009: rows of micron, flux, error; XUNITS")
def spex():
    wavelength = grid(1000, 20000.0, 4.0)
    rows = np.stack([wavelength / 1e4, wavelength, np.full(1000, 2.0)])
    head = primary(rows, INSTR="SpeX", XUNITS="um", YUNITS="ergs-1cm-2A-1")
    return as_bytes(head), Truth(
        wavelength, "vacuum", None, error=2.0, error_or_note=True,
        or_refused=("row|wavelength|axis|CRVAL1",),
    )  # fmt: skip


@echelle("images of flux, error and wavelength", "NEID's and CARMENES' way, of one merged spectrum")
def three_images():
    wavelength = grid() + 0.01 * np.sin(np.arange(1000))
    data = as_bytes(
        fits.PrimaryHDU(),
        image(wavelength.astype("f4"), "FLUX"),
        image(np.full(1000, 2.0, "f4"), "ERROR"),
        image(wavelength, "WAVELENGTH"),
    )
    return data, Truth(
        wavelength, error=2.0, error_or_note=True, assumed=("WAVELENGTH|unit", "frame", "medium")
    )


@echelle("flux, and its wavelengths in the next image", "as above, in nm: SPEC, SIG, WAVE")
def two_images():
    wavelength = grid()
    data = as_bytes(
        primary(wavelength, EXTNAME="SPEC"),
        image(np.full(1000, 2.0), "SIG"),
        image(wavelength / 10, "WAVE", BUNIT="nm"),
    )
    return data, Truth(wavelength, error=2.0, error_or_note=True, assumed=("frame", "medium"))


@echelle("NEID L2, an order", "NEID data format, with hdu='SCIFLUX:5': wavelengths of SCIWAVE")
def neid_order():
    data, _ = neid()
    wavelength = grid(1100, 5000.0 + 70 * 4)
    return data, Truth(
        wavelength, None, None, error=1.0, error_or_note=True, options={"hdu": "SCIFLUX:5"},
        or_refused=("order|wavelength",),
    )  # fmt: skip


@echelle("PEPSI .nor", "PEPSI data description: Arg (Angstrom), Fun, Var (variance), Mask")
def pepsi():
    wavelength = grid()
    hdu = table(Arg=wavelength, Fun=wavelength, Var=np.full(1000, 4.0), Mask=np.zeros(1000, int))
    return as_bytes(primary(INSTRUME="PEPSI"), hdu), Truth(
        wavelength, None, None, error=2.0, or_refused=("Arg",)
    )


@echelle("SPIRou s1d by APERO", "APERO s1d_v: wavelength in nm and vacuum, flux, eflux, weight")
def apero_s1d():
    wavelength = grid(1000, 15000.0, 0.3)
    hdu = table(
        wavelength=wavelength / 10, flux=wavelength, eflux=np.full(1000, 2.0),
        weight=np.ones(1000), units={"wavelength": "nm"},
    )  # fmt: skip
    return as_bytes(primary(INSTRUME="SPIRou", BERV=4.5), hdu), Truth(
        wavelength, None, None, error=2.0, berv=4.5, assumed=("frame", "medium")
    )


@echelle("XSL DR3", "Verro et al. 2022: WAVE in nm, FLUX, ERR, and the dereddened ones")
def xsl():
    wavelength = grid()
    hdu = table(
        WAVE=wavelength / 10, FLUX=wavelength, ERR=np.full(1000, 2.0), FLUX_DR=wavelength * 2,
        ERR_DR=np.full(1000, 4.0), units={"WAVE": "nm"},
    )  # fmt: skip
    return as_bytes(fits.PrimaryHDU(), hdu), Truth(wavelength, error=2.0, assumed=("frame",))


@echelle("MELCHIORS", "Royer et al. 2024: table of wave (Angstrom, air, barycentric) and flux")
def melchiors():
    wavelength = grid()
    hdu = table(wave=wavelength, flux=wavelength, units={"wave": "Angstrom"})
    return as_bytes(fits.PrimaryHDU(), hdu), Truth(wavelength)


@echelle("MILES", "Sanchez-Blazquez et al. 2006: (1, n) image, linear in air")
def miles():
    wavelength = grid()
    hdu = primary(wavelength[None, :], CRVAL1=5000.0, CDELT1=0.1, CRPIX1=1.0)
    return as_bytes(hdu), Truth(wavelength, assumed=("unit", "frame", "medium"))


@echelle("UVES-POP", "Bagnulo et al. 2003: merged, linear, air; no word of the frame")
def uves_pop():
    wavelength = grid()
    hdu = primary(wavelength, **linear(wavelength), CTYPE1="ANGSTROM", OBJECT="HD1")
    return as_bytes(hdu), Truth(wavelength, assumed=("frame", "medium"))


# space

space = family("space telescopes")


@space("CALSPEC", "Bohlin et al. 2014: vacuum, STATERROR, DATAQUAL 1 = good")
def calspec():
    wavelength = grid(1000, 900.0, 10.0)
    scale = 1e-13
    hdu = table(
        WAVELENGTH=wavelength, FLUX=flawed(wavelength, scale), STATERROR=np.full(1000, 2e-14),
        SYSERROR=np.full(1000, 9e-14), FWHM=np.full(1000, 20.0), DATAQUAL=flags(bad=0, good=1),
        TOTEXP=np.ones(1000), units={"WAVELENGTH": "ANGSTROMS", "FLUX": "FLAM"},
        single=("FLUX", "STATERROR", "SYSERROR"),
    )  # fmt: skip
    return as_bytes(primary(TARGETID="BD+17D4708"), hdu), Truth(
        wavelength, "vacuum", scale=scale, error=2e-14, bad=wavelength[FLAGGED],
        assumed=("mask|DATAQUAL", "frame"),
    )  # fmt: skip


@space("STIS x1d, first order", "STIS data handbook: cells WAVELENGTH, FLUX, ERROR, DQ (0 good)")
def stis():
    wavelength = grid()
    hdu = table(
        "SCI", cells=True, SPORDER=np.array([1]), WAVELENGTH=wavelength, GROSS=wavelength * 3,
        NET=wavelength * 2, FLUX=flawed(wavelength), ERROR=np.full(1000, 2.0), DQ=flags(bad=16),
        units={"WAVELENGTH": "Angstroms"},
    )  # fmt: skip
    return as_bytes(primary(INSTRUME="STIS", TELESCOP="HST"), hdu), Truth(
        wavelength, None, error=2.0, bad=wavelength[FLAGGED], assumed=("medium", "frame")
    )


@space("JWST x1d", "jwst pipeline: EXTRACT1D, WAVELENGTH (um), FLUX, FLUX_ERROR, DQ; specutils")
def jwst():
    wavelength = grid(1000, 20000.0, 4.0)
    hdu = table(
        "EXTRACT1D", WAVELENGTH=wavelength / 1e4, FLUX=flawed(wavelength),
        FLUX_ERROR=np.full(1000, 2.0), SURF_BRIGHT=wavelength * 3, SB_ERROR=np.ones(1000),
        DQ=flags(), units={"WAVELENGTH": "um", "FLUX": "Jy"}, header={"SPECSYS": "BARYCENT"},
    )  # fmt: skip
    return as_bytes(primary(TELESCOP="JWST"), hdu), Truth(
        wavelength, "vacuum", error=2.0, bad=wavelength[FLAGGED], assumed=("medium",)
    )


@space("IUE low resolution", "NEWSIPS MXLO: one number WAVELENGTH and DELTAW beside cells of FLUX")
def iue():
    wavelength = grid(640, 1050.0, 1.676)
    columns = [
        fits.Column("NPOINTS", "I", array=[640]),
        fits.Column("WAVELENGTH", "E", unit="ANGSTROM", array=[1050.0]),
        fits.Column("DELTAW", "E", unit="ANGSTROM", array=[1.676]),
        fits.Column("SIGMA", "640E", array=np.full((1, 640), 2.0)),
        fits.Column("FLUX", "640E", array=wavelength[None, :]),
    ]
    hdu = fits.BinTableHDU.from_columns(columns, name="MELO")
    return as_bytes(primary(TELESCOP="IUE"), hdu), Truth(
        wavelength, "vacuum", error=2.0, or_refused=("WAVELENGTH",)
    )


@space("COS x1d, two segments", "COS data handbook: a row a segment, FUVA the red one, vacuum")
def cos():
    one, two = grid(500, 1300.0, 0.1), grid(500, 1200.0, 0.1)
    rows = np.stack([one, two])
    hdu = table(
        "SCI", EXPTIME=np.ones(2), NELEM=np.full(2, 500), WAVELENGTH=rows, FLUX=rows,
        ERROR=np.full((2, 500), 2.0), DQ=np.zeros((2, 500), int), units={"WAVELENGTH": "angstrom"},
    )  # fmt: skip
    return as_bytes(primary(INSTRUME="COS"), hdu), Truth(
        np.union1d(one, two), "vacuum", None, joined=True, or_refused=("--hdu|hdu=",)
    )


@space("COS x1d, its second segment", "the one before, with hdu='SCI:2'")
def cos_segment():
    data, _ = cos()
    return data, Truth(grid(500, 1200.0, 0.1), "vacuum", None, error=2.0, options={"hdu": "SCI:2"})


# synthetic spectra and tools

synthetic = family("synthetic spectra and tools")


@synthetic(
    "PHOENIX HiRes flux", "Husser et al. 2013: flux alone; the wavelengths are in WAVE_*.fits"
)
def phoenix_hires():
    hdu = primary(grid(), PHXTEFF=5800, UNIT="erg/s/cm^2/cm", BUNIT="erg/s/cm^2/cm")
    return as_bytes(hdu), Truth(refused=("CRVAL1|wavelength",))


@synthetic("PHOENIX MedRes", "Husser et al. 2013: WAVE-LOG with ln(Angstrom) in CRVAL1")
def phoenix_medres():
    wavelength = np.exp(8.517 + 2e-5 * np.arange(1000))
    hdu = primary(
        wavelength, CRVAL1=8.517, CDELT1=2e-5, CRPIX1=1.0, CTYPE1="WAVE-LOG", CUNIT1="ln(A)"
    )
    return as_bytes(hdu), Truth(wavelength, "vacuum", None, assumed=("frame",))


@synthetic("iSpec FITS, regular", "iSpec spectrum.py: nm, AWAV, errors in an image SIGMA")
def ispec_image():
    wavelength = grid()
    axis = linear(wavelength, 10.0) | {"CUNIT1": "NM", "CTYPE1": "AWAV"}
    data = as_bytes(
        primary(wavelength.astype("f4"), **axis, ORIGIN="iSpec"),
        image(np.full(1000, 2.0, "f4"), "SIGMA", **axis),
    )
    return data, Truth(wavelength, error=2.0, error_or_note=True, assumed=("frame",))


@synthetic("iSpec FITS, irregular", "iSpec spectrum.py: table AWAV (nm), FLUX, SIGMA")
def ispec_table():
    wavelength = grid() + 0.01 * np.sin(np.arange(1000))
    hdu = table(
        AWAV=wavelength / 10, FLUX=wavelength, SIGMA=np.full(1000, 2.0), units={"AWAV": "NM"}
    )
    head = primary(CUNIT1="NM", CTYPE1="AWAV", ORIGIN="iSpec")
    return as_bytes(head, hdu), Truth(wavelength, error=2.0, assumed=("frame",))


@synthetic("iSpec text", "iSpec spectrum.py: waveobs (nm), flux, err between tabs", ".txt")
def ispec_text():
    wavelength = grid()
    rows = "\n".join(f"{w / 10:.9f}\t{w:.11g}\t2.0" for w in wavelength)
    return f"waveobs\tflux\terr\n{rows}\n".encode(), Truth(
        wavelength, error=2.0, assumed=("nm", "frame", "medium")
    )


@synthetic("Turbospectrum", "bsyn: Angstrom, normalized flux, flux; no names", ".spec")
def turbospectrum():
    wavelength = grid()
    rows = "\n".join(f"{w:12.3f} {w:10.5f} {w * 1e4:12.5e}" for w in wavelength)
    return (rows + "\n").encode(), Truth(wavelength, frame=None, assumed=("column", "frame"))


@synthetic("MOOG smoothed synthesis", "MOOG smoothed_out: two lines of words, two columns", ".out")
def moog():
    wavelength = grid()
    rows = "\n".join(f"{w:11.3f}{w:12.5f}" for w in wavelength)
    head = "the number of synthesis points = 1000\nstart = 5000.000     stop = 5099.900\n"
    return (head + rows + "\n").encode(), Truth(wavelength, frame=None, assumed=("frame",))


@synthetic("SYNTHE", "Kurucz SYNTHE to text: nm, flux, continuum, normalized flux", ".asc")
def synthe():
    wavelength = grid()
    rows = "\n".join(f"{w / 10:11.4f} {w:13.6e} {w:13.6e} {1.0:9.6f}" for w in wavelength)
    return (rows + "\n").encode(), Truth(wavelength, frame=None, assumed=("nm", "column"))


# no spectra to read: refused

other = family("no spectrum to read")


@other("TESS light curve", "TESS SPOC: TIME, SAP_FLUX, PDCSAP_FLUX")
def tess():
    time = np.linspace(1325.3, 1353.2, 1000)
    columns = [
        fits.Column("TIME", "D", unit="BJD - 2457000, days", array=time),
        fits.Column("TIMECORR", "E", unit="d", array=np.zeros(1000)),
        fits.Column("CADENCENO", "J", array=np.arange(1000)),
        fits.Column("SAP_FLUX", "E", unit="e-/s", array=np.ones(1000)),
        fits.Column("PDCSAP_FLUX", "E", unit="e-/s", array=np.ones(1000)),
    ]
    hdu = fits.BinTableHDU.from_columns(columns, name="LIGHTCURVE")
    return as_bytes(primary(TELESCOP="TESS"), hdu), Truth(refused=("wavelength",))


@other("raw frame", "any spectrograph: one image of a detector")
def raw_frame():
    hdu = primary(np.ones((512, 512), "i2"), INSTRUME="HARPS", EXPTIME=900.0)
    return as_bytes(hdu), Truth(refused=("detector|raw|frame",))


@other("raw frame of two detectors", "HARPS: two image extensions")
def raw_detectors():
    hdus = [image(np.ones((400, 300), "i2"), name) for name in ("CHIP1", "CHIP2")]
    return as_bytes(primary(INSTRUME="HARPS"), *hdus), Truth(refused=("detector|raw|frame",))


@other("HARPS e2ds", "HARPS DRS manual: orders in rows")
def e2ds():
    hdu = primary(np.ones((72, 1100), "f4"), ESO_DRS_BERV=1.0, ESO_DRS_CAL_TH_COEFF_LL0=3800.0)
    return as_bytes(hdu), Truth(refused=("e2ds|order",))


@other("ESPRESSO S2D", "ESPRESSO DRS manual: SCIDATA, ERRDATA, QUALDATA, WAVEDATA_VAC_BARY")
def s2d():
    rows = np.stack([grid(1100, 5000.0 + 70 * k) for k in range(20)])
    names = ("SCIDATA", "ERRDATA", "QUALDATA", "WAVEDATA_VAC_BARY", "WAVEDATA_AIR_BARY")
    head = primary(ESO_QC_BERV=1.0, ESO_PRO_CATG="S2D_A")
    return as_bytes(head, *[image(rows, name) for name in names]), Truth(refused=("S2D|order",))


@other("HARPS ccf", "HARPS DRS manual: the correlation over velocity, orders in rows")
def ccf():
    hdu = primary(
        np.ones((73, 161), "f4"), CRVAL1=-20.0, CDELT1=0.25, CTYPE1="km/s", ESO_DRS_CCF_RV=-5.0
    )
    return as_bytes(hdu), Truth(refused=("ccf|velocity",))


@other("an image of the sky", "any camera: celestial axes")
def sky_image():
    hdu = primary(
        np.ones((300, 300), "f4"), CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=150.0,
        CRVAL2=2.0, CDELT1=-1e-4, CDELT2=1e-4, CRPIX1=1.0, CRPIX2=1.0,
    )  # fmt: skip
    return as_bytes(hdu), Truth(refused=("detector|image|spectrum",))


@other("a table of stars", "Gaia archive's ECSV: no wavelengths in it", ".ecsv")
def catalog_ecsv():
    names = ("source_id", "solution_id", "ra")
    lines = ["# %ECSV 1.0", "# ---", "# datatype:"]
    lines += [f"# - {{name: {name}, datatype: {kind}}}"
              for name, kind in zip(names, ("int64", "int64", "float64"), strict=True)]  # fmt: skip
    lines += [",".join(names), "4,9,217.4", "9,9,218.1"]
    text = "\n".join(lines).replace("# ---", "# ---\n# delimiter: ','") + "\n"
    return text.encode(), Truth(refused=("wavelength|spectrum",))


@other("a catalog of stars", "Gaia and other archives: no wavelengths in it", ".csv")
def catalog():
    rows = "\n".join(f"{5853498713190525696 + k},1636148068921376768,{217.39 + k}"
                     for k in range(20))  # fmt: skip
    return f"source_id,solution_id,ra\n{rows}\n".encode(), Truth(refused=("wavelength|spectrum",))
