"""Encode end to end against the straightforward loop over files, measured in one run.

The loop is what one writes first: per file, astropy opens it, numpy prepares it, and the network,
written with Conv1d, runs on that one spectrum, with as many torch threads as torch takes and with
one (faster where something else runs besides). All have the same random weights and must give the
same latents; ratios are to the faster of the two loops. Run:

    python -m benchmarks.encode_speed --files 32 --repeats 3

For processor time (user and system, all threads of the process), which is what a cluster is paid
for, `encode` also runs with one worker; the ratio is to the loop that takes the least.

With --parsers it measures instead what our own parser of FITS files is worth: the CPU time of
`encode` with it and with astropy.io.fits in its place, on files as pipeline and archive write them.
With --profile, where the time of one worker goes.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from astropy.io import fits

from benchmarks.network_speed import COMPACT as LINES
from benchmarks.network_speed import PlainVAE
from benchmarks.timing import in_turns, markdown_table, rounds, wall_and_processor
from latentscope.models import encode as encode_module
from latentscope.models import rows
from latentscope.models.config import PUBLISHED_ARCHITECTURE, VAEConfig, published_prepare
from latentscope.models.encode import Network, encode
from latentscope.models.network import SpectrumVAE
from latentscope.models.weights import load_model
from latentscope.spectra import hdus as our_hdus
from latentscope.spectra import headers, read
from latentscope.spectra import prepare as prepare_module
from latentscope.spectra.prepare import PrepareConfig
from latentscope.spectra.wavelength import Grid

COMPACT = replace(LINES, extra=320)
COMPACT_GRID = Grid(
    "log", 3785.0, float(np.log(6910 / 3785) / 20_479), 20_480, gaps=((5303.64, 5338.04),)
)
LOOPS = ("loop: astropy, Conv1d, batch 1", "the same, 1 torch thread")


DRS_CARDS = 3_000  # in the header of a real HARPS spectrum


def write_files(folder: Path, n: int, layout: str = "phase 3", cards: int = 0) -> list[Path]:
    """Files of the size of real HARPS ones, 313,114 pixels: phase-3 tables (5 MB), S1D images."""
    rng = np.random.default_rng(0)
    wavelength = 3781.19 + 0.01 * np.arange(313_114)
    folder.mkdir(exist_ok=True)
    files = []
    for i in range(n):
        flux = 900 * (1 + 0.3 * np.sin(wavelength / 200 + i)) + rng.normal(0, 30, wavelength.size)
        flux[(wavelength > 5303.9) & (wavelength < 5336.9)] = 0
        primary = fits.PrimaryHDU()
        primary.header["OBJECT"] = f"star {i}"
        primary.header["SNR"] = 30.0
        primary.header["SPECSYS"] = "BARYCENT"
        for card in range(cards):
            primary.header[f"HIERARCH ESO DRS CAL TH COEFF LL{card}"] = 3781.19 + card
        if layout == "phase 3":
            columns = [
                fits.Column("WAVE", "313114D", unit="Angstrom", array=wavelength[None]),
                fits.Column("FLUX", "313114E", array=flux[None].astype("f4")),
                fits.Column("ERR", "313114E", array=np.full((1, wavelength.size), 30, "f4")),
            ]
            hdus = [primary, fits.BinTableHDU.from_columns(columns)]
            files.append(folder / f"ADP.2020-01-01T00:00:00.{i:03d}.fits")
        else:
            primary.data = flux.astype(">f4")
            primary.header["CRVAL1"], primary.header["CDELT1"] = wavelength[0], 0.01
            hdus = [primary]
            files.append(folder / f"HARPS.2020-01-01T00:00:00.{i:03d}_s1d_A.fits")
        fits.HDUList(hdus).writeto(files[-1])
    return files


def open_with_astropy(file: Path) -> tuple[np.ndarray, np.ndarray]:
    with fits.open(file) as hdulist:
        data = hdulist[1].data
        return data["WAVE"][0].astype(np.float64), data["FLUX"][0].astype(np.float32)


def published_row(wavelength: np.ndarray, flux: np.ndarray) -> np.ndarray:
    """Trim, pad, mask, divide by the median over all pixels: see reference in the docs."""
    inside = (wavelength >= 3785 - 1e-5) & (wavelength <= 6910 + 1e-5)
    row = np.pad(flux[inside], (7_589, 7_590))
    mask = np.ones(row.size, dtype=np.float32)
    mask[:7_589] = mask[159_453:162_894] = mask[320_090:] = 0
    return row / np.median(row * mask)


def compact_row(wavelength: np.ndarray, flux: np.ndarray) -> np.ndarray:
    """Rebin by the interpolated integral, divide by a running mean of 65 pixels, 320 nodes."""
    edges = np.append(wavelength - 0.005, wavelength[-1] + 0.005)
    integral = np.append(0.0, np.cumsum(flux.astype(np.float64) * 0.01))
    borders = COMPACT_GRID.edges
    x = np.diff(np.interp(borders, edges, integral)) / np.diff(borders)
    valid = ~COMPACT_GRID.gap_mask
    x = np.where(valid, x / np.median(x[valid]), 0)
    window = np.ones(65)
    with np.errstate(invalid="ignore", divide="ignore"):
        c = np.convolve(x, window, "same") / np.convolve(valid.astype(float), window, "same")
    hole = ~(c > 0)
    c[hole] = np.interp(np.flatnonzero(hole), np.flatnonzero(~hole), c[~hole])
    g = np.where(valid, np.clip(x / c - 1, -1, 1.5), 0)
    at = (np.arange(320) + 0.5) * 64 - 0.5
    return np.concatenate([g, np.interp(at, np.arange(c.size), np.log(c))]).astype(np.float32)


def loop(files: list[Path], row_of: Callable, network: PlainVAE, threads: int) -> np.ndarray:
    torch.set_num_threads(threads)
    latents = []
    for file in files:
        row = torch.from_numpy(row_of(*open_with_astropy(file)))
        with torch.no_grad():
            latents.append(network.encode(row[None])[0].numpy())
    return np.array(latents)


def measure(
    files: list[Path], config: VAEConfig, prepare: PrepareConfig, row_of: Callable, repeats: int
) -> dict:
    torch.manual_seed(0)
    model = SpectrumVAE(config, prepare).eval()
    network = PlainVAE(model).eval()
    threads = torch.get_num_threads()
    ways = {
        LOOPS[0]: lambda: loop(files, row_of, network, threads),
        LOOPS[1]: lambda: loop(files, row_of, network, 1),
        "encode": lambda: encode(files, model, recon_error=False).values,
        "encode with recon_error": lambda: encode(files, model).values,
        "1 worker": lambda: encode(files, model, recon_error=False, workers=1).values,
        "1 worker, with recon_error": lambda: encode(files, model, workers=1).values,
    }
    first, *others = (way() for way in ways.values())  # compiles, fills the file cache
    worst = max(float(np.abs(other - first).max() / np.abs(first).max()) for other in others)
    taken = rounds(ways, repeats, wall_and_processor)
    wall, cpu = (
        {name: (times[:, clock] / len(files) * 1e3).tolist() for name, times in taken.items()}
        for clock in (0, 1)
    )
    return {"ms_per_spectrum": wall, "cpu_ms_per_spectrum": cpu, "worst_difference": worst}


class _Named(bytes):
    """Stands for a file's content where astropy opens the file itself."""

    path: str


class _AstropyHeader(headers.Header):
    """Keywords as astropy parses them; a card that breaks the standard reads as None."""

    def __init__(self, header: fits.Header) -> None:
        super().__init__({})
        self._header = header

    def get(self, key: str, default: headers.Value = None) -> headers.Value:
        """Return the value of `key`, or `default` where it is absent, empty or broken."""
        try:
            value = self._header.get(key)
        except (fits.VerifyError, ValueError):
            return default
        return value if isinstance(value, str | int | float | bool) else default

    def has_prefix(self, prefix: str) -> bool:
        """Whether any keyword starts with `prefix`."""
        return any(key.startswith(prefix) for key in self._header)


class _AstropyHDU(our_hdus.HDU):
    """An HDU whose pixels and columns astropy hands over."""

    def __init__(self, index: int, hdu: Any) -> None:
        header = _AstropyHeader(hdu.header)
        axes = range(hdu.header["NAXIS"], 0, -1)
        shape = tuple(hdu.header[f"NAXIS{axis}"] for axis in axes)
        super().__init__(index, header, memoryview(b""), shape)
        object.__setattr__(self, "hdu", hdu)

    def image(self) -> np.ndarray:
        """Pixels in native byte order."""
        return self.hdu.data.astype(self.hdu.data.dtype.newbyteorder("="))

    def cells(self, column: our_hdus.Column) -> np.ndarray:
        """Values of a column in native byte order, shape (rows, repeat)."""
        values = self.hdu.data.field(column.index - 1)
        return values.astype(values.dtype.newbyteorder("="))


@contextmanager
def parsed_by_astropy(memmap: bool) -> Iterator[None]:
    """Let `read_spectrum` open files with astropy.io.fits: no checksums, HDUs when needed."""

    def name(source: Any) -> tuple[bytes, str]:
        content = _Named(b"SIMPLE  =")
        content.path = str(source)
        return content, content.path

    def hdus(content: _Named) -> list[_AstropyHDU]:
        opened = fits.open(content.path, memmap=memmap, lazy_load_hdus=True, checksum=False)
        return [_AstropyHDU(index, hdu) for index, hdu in enumerate(opened)]

    before = read.read_source, read.read_hdus
    read.read_source, read.read_hdus = name, hdus
    try:
        yield
    finally:
        read.read_source, read.read_hdus = before


def measure_parsers(files: list[Path], model: SpectrumVAE, repeats: int) -> dict[str, float]:
    """CPU milliseconds a file of `encode`, the least of some repeats, by parser."""

    def ours() -> np.ndarray:
        return encode(files, model).values

    def astropy(memmap: bool) -> np.ndarray:
        with parsed_by_astropy(memmap):
            return ours()

    ways = {
        "own parser": ours,
        "astropy": lambda: astropy(False),
        "astropy, memmap": lambda: astropy(True),
    }
    results = [way() for way in ways.values()]  # compiles, fills the file cache
    assert all(np.array_equal(results[0], other) for other in results[1:])
    least = in_turns(ways, repeats, time.process_time)
    return {name: taken / len(files) * 1e3 for name, taken in least.items()}


def parsers(n_files: int, repeats: int) -> dict[str, dict[str, float]]:
    """Print and return what each parser costs on each kind of file with each model."""
    torch.manual_seed(0)
    models = {
        "harps-sim": load_model("harps-sim"),
        "published, random weights": SpectrumVAE(
            PUBLISHED_ARCHITECTURE, published_prepare("median-padded")
        ).eval(),
    }
    kinds = {
        f"S1D, {DRS_CARDS} cards": ("s1d", DRS_CARDS),
        f"phase 3, {DRS_CARDS} cards": ("phase 3", DRS_CARDS),
        "phase 3, few cards": ("phase 3", 0),
    }
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, (kind, (layout, cards)) in enumerate(kinds.items()):
            files = write_files(Path(folder) / str(number), n_files, layout, cards)
            for name, model in models.items():
                found = measure_parsers(files, model, repeats)
                results[f"{kind}; {name}"] = found
                best = min(found["astropy"], found["astropy, memmap"])
                figures = "  ".join(f"{way} {ms:.1f}" for way, ms in found.items())
                print(f"{kind}; {name}: {figures}  (CPU ms)  {best / found['own parser']:.2f}x")
    return results


STAGES = {
    "bytes of the file": (read, "read_source"),
    "HDUs and headers": (read, "read_hdus"),
    "columns": (read, "find_spectra"),
    "checks, errors, frame": (read, "finish"),
    "resolving power": (rows, "oxygen_seen"),
    "resampling": (prepare_module, "resample"),
    "preparation, all": (rows, "prepare"),
    "encoder, velocity fit": (SpectrumVAE, "encoding"),
    "decoder": (SpectrumVAE, "_up"),
    "errors": (Network, "_misfit"),
    "a chunk of files, all": (encode_module._Run, "part"),
}


def profile(files: list[Path], models: dict[str, SpectrumVAE], repeats: int) -> None:
    """Print the processor time of the stages, in ms a spectrum: each the median of its calls."""
    taken: dict[str, list[float]] = {}

    def timed(name: str, function: Callable) -> Callable:
        def measuring(*args: Any, **options: Any) -> Any:
            begin = time.thread_time()
            try:
                return function(*args, **options)
            finally:
                taken.setdefault(name, []).append(time.thread_time() - begin)

        return measuring

    originals = {name: getattr(*place) for name, place in STAGES.items()}
    try:
        for name, (owner, attribute) in STAGES.items():
            setattr(owner, attribute, timed(name, originals[name]))
        columns = {}
        for model_name, model in models.items():
            encode(files, model, workers=1)  # compiles
            taken.clear()
            for _ in range(repeats):
                encode(files, model, workers=1)
            n = len(files) * repeats
            columns[model_name] = {
                name: 1e3 * float(np.median(times)) * len(times) / n
                for name, times in taken.items()
            }
    finally:
        for name, (owner, attribute) in STAGES.items():
            setattr(owner, attribute, originals[name])
    table = [[name, *(f"{c.get(name, 0):.2f}" for c in columns.values())] for name in STAGES]
    print(markdown_table(["CPU ms a spectrum", *columns], table))


def report(name: str, result: dict) -> None:
    base = min((result["ms_per_spectrum"][way] for way in LOOPS), key=statistics.median)
    least = min(min(result["cpu_ms_per_spectrum"][way]) for way in LOOPS)
    print(f"\n{name}; latents agree to {result['worst_difference']:.1e}")
    print(
        f"{'':32}{'min ms':>9}{'median ms':>11}{'ratio: minima':>15}{'medians':>9}"
        f"{'CPU ms':>9}{'ratio':>8}"
    )
    for way, seconds in result["ms_per_spectrum"].items():
        middle = statistics.median(seconds)
        ratios = min(base) / min(seconds), statistics.median(base) / middle
        cpu = min(result["cpu_ms_per_spectrum"][way])
        line = f"{way:32}{min(seconds):9.1f}{middle:11.1f}{ratios[0]:14.2f}x{ratios[1]:8.2f}x"
        print(f"{line}{cpu:9.1f}{least / cpu:7.2f}x")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=192)  # in fewer, the start counts
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--parsers", action="store_true", help="compare parsers of FITS files")
    parser.add_argument("--profile", action="store_true", help="show where the time goes")
    options = parser.parse_args()
    if options.parsers:
        parsers(options.files, options.repeats)
        return
    cases = {
        "published": (PUBLISHED_ARCHITECTURE, published_prepare("median-padded"), published_row),
        "compact": (COMPACT, PrepareConfig(COMPACT_GRID, normalization="continuum"), compact_row),
    }
    with tempfile.TemporaryDirectory() as folder:
        files = write_files(Path(folder) / "adp", options.files)
        if options.profile:
            torch.manual_seed(0)
            models = {name: SpectrumVAE(*case[:2]).eval() for name, case in cases.items()}
            profile(files, models | {"harps-sim": load_model("harps-sim")}, options.repeats)
            return
        for name, case in cases.items():
            report(name, measure(files, *case, options.repeats))


if __name__ == "__main__":
    main()
