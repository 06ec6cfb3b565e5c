"""Encode end to end against the straightforward loop over files, measured in one run.

The loop is what one writes first: per file, astropy opens it, numpy prepares it, and the network,
written with Conv1d, runs on that one spectrum, with as many torch threads as torch takes and with
one (faster where something else runs besides). All have the same random weights and must give the
same latents; ratios of processor time (user and system, all threads of the process), which is what
a cluster is paid for, and of wall time are to the faster of the two loops. Run:

    python -m benchmarks.encode_speed --repeats 3

With --precision bf16 `encode` computes in bfloat16. With --parsers it measures instead what
`read_spectrum` takes, and astropy.io.fits for the same columns and a few keywords. With --profile,
where the time of one worker goes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from astropy.io import fits

from benchmarks.network_speed import COMPACT as LINES
from benchmarks.network_speed import PlainVAE
from benchmarks.timing import in_turns, markdown_table, rounds, wall_and_processor
from latentscope.models import encode as encode_module
from latentscope.models import rows
from latentscope.models.config import PUBLISHED_ARCHITECTURE, VAEConfig, published_prepare
from latentscope.models.encode import Precision, encode
from latentscope.models.network import SpectrumVAE
from latentscope.models.weights import load_model
from latentscope.spectra import prepare as prepare_module
from latentscope.spectra import read
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
    columns = [
        fits.Column("WAVE", f"{wavelength.size}D", unit="Angstrom"),
        fits.Column("FLUX", f"{wavelength.size}E"),
        fits.Column("ERR", f"{wavelength.size}E"),
    ]
    table_head = fits.BinTableHDU.from_columns(columns, nrows=1).header.tostring()
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
            numbers = [wavelength, flux.astype("f4"), np.full(wavelength.size, 30, "f4")]
            files.append(folder / f"ADP.2020-01-01T00:00:00.{i:03d}.fits")
            # By hand, since astropy takes a second to turn such wide rows around.
            data = b"".join(part.astype(part.dtype.newbyteorder(">")).tobytes() for part in numbers)
            heads = (primary.header.tostring() + table_head).encode("ascii")
            files[-1].write_bytes(heads + data + bytes(-len(data) % 2880))
        else:
            primary.data = flux.astype(">f4")
            primary.header["CRVAL1"], primary.header["CDELT1"] = wavelength[0], 0.01
            files.append(folder / f"HARPS.2020-01-01T00:00:00.{i:03d}_s1d_A.fits")
            primary.writeto(files[-1])
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
    files: list[Path],
    config: VAEConfig,
    prepare: PrepareConfig,
    row_of: Callable,
    repeats: int,
    precision: Precision,
) -> dict:
    torch.manual_seed(0)
    model = SpectrumVAE(config, prepare).eval()
    network = PlainVAE(model).eval()
    threads = torch.get_num_threads()

    def encoded(**options: Any) -> np.ndarray:
        return encode(files, model, precision=precision, **options).values

    ways = {
        LOOPS[0]: lambda: loop(files, row_of, network, threads),
        LOOPS[1]: lambda: loop(files, row_of, network, 1),
        "encode": lambda: encoded(recon_error=False),
        "encode with recon_error": encoded,
        "1 worker": lambda: encoded(recon_error=False, workers=1),
        "1 worker, with recon_error": lambda: encoded(workers=1),
    }
    first, *others = (way() for way in ways.values())  # compiles, fills the file cache
    worst = max(float(np.abs(other - first).max() / np.abs(first).max()) for other in others)
    taken = rounds(ways, repeats, wall_and_processor)
    wall, cpu = (
        {name: (times[:, clock] / len(files) * 1e3).tolist() for name, times in taken.items()}
        for clock in (0, 1)
    )
    return {"ms_per_spectrum": wall, "cpu_ms_per_spectrum": cpu, "worst_difference": worst}


def read_by_astropy(file: Path) -> list[Any]:
    """Wavelengths, flux, errors and what the header says, as far as `read_spectrum` asks for it."""
    with fits.open(file, lazy_load_hdus=True) as hdulist:
        header = hdulist[0].header
        found = [header.get(key) for key in ("OBJECT", "SNR", "SPECSYS", "MJD-OBS", "EXPTIME")]
        if len(hdulist) == 1:
            flux = hdulist[0].data.astype(np.float32)
            pixels = np.arange(len(flux))
            return [*found, header["CRVAL1"] + header["CDELT1"] * pixels, flux]
        cells = [hdulist[1].data[name][0] for name in ("WAVE", "FLUX", "ERR")]
        return [*found, *(cell.astype(cell.dtype.newbyteorder("=")) for cell in cells)]


def parsers(n_files: int, repeats: int) -> None:
    """Print the processor time that reading takes by our parser and by astropy, in ms per file."""
    kinds = {
        f"S1D, {DRS_CARDS} cards": ("s1d", DRS_CARDS),
        f"phase 3, {DRS_CARDS} cards": ("phase 3", DRS_CARDS),
        "phase 3, few cards": ("phase 3", 0),
    }
    table = []
    with tempfile.TemporaryDirectory() as folder:
        for number, (kind, (layout, cards)) in enumerate(kinds.items()):
            files = write_files(Path(folder) / str(number), n_files, layout, cards)
            ways = {
                "ours": lambda files=files: [read.read_spectrum(file) for file in files],
                "astropy": lambda files=files: [read_by_astropy(file) for file in files],
            }
            least = in_turns(ways, repeats, time.process_time, warm=True)
            ours, theirs = (least[name] / n_files * 1e3 for name in ways)
            table.append([kind, f"{ours:.2f}", f"{theirs:.2f}", f"{theirs / ours:.2f}"])
    print(markdown_table(["file", "read_spectrum, ms", "astropy.io.fits", "ratio"], table))


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
    "errors": (encode_module, "_measured"),
    "a chunk of files, all": (encode_module._Run, "part"),
}


def profile(files: list[Path], models: dict[str, SpectrumVAE], repeats: int) -> None:
    """Print the processor time of the stages, in ms per spectrum: each the median of its calls."""
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
    print(markdown_table(["CPU ms per spectrum", *columns], table))


def report(results: dict[str, dict]) -> None:
    """Print milliseconds per spectrum, and their ratio to the faster loop's."""
    for clock in ("cpu_ms_per_spectrum", "ms_per_spectrum"):
        table = []
        for name, result in results.items():
            least = {way: min(times) for way, times in result[clock].items()}
            loop = min(least[way] for way in LOOPS)
            table += [[name, way, f"{ms:.1f}", f"{loop / ms:.2f}"] for way, ms in least.items()]
        print(markdown_table(["network", clock, "least", "ratio"], table), end="\n\n")
    worst = max(result["worst_difference"] for result in results.values())
    print(f"latents agree to {worst:.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=192)  # in fewer, the start counts
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--precision", choices=get_args(Precision), default="float32")
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
        report(
            {
                name: measure(files, *case, options.repeats, options.precision)
                for name, case in cases.items()
            }
        )


if __name__ == "__main__":
    main()
