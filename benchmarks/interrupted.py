"""Kill `encode` at random moments, run it again, and see that nothing is lost, redone or left.

python -m benchmarks.interrupted --files 400 --kills 50

Each run is a fork that is killed by SIGKILL, some milliseconds after a file that is drawn, and
every fifth one where it puts one of the outputs in place; another then runs to the end. Every
output must have the bytes of a run that nobody disturbed, no file of a finished block may be read
twice, and nothing else may be left in the folder.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from astropy.io import fits

from latentscope.models import encode as encoding
from latentscope.models import rows
from latentscope.models.config import VAEConfig
from latentscope.models.network import SpectrumVAE
from latentscope.spectra.prepare import PrepareConfig, prepare
from latentscope.spectra.read import read_spectrum
from latentscope.spectra.wavelength import Grid

GRID = Grid("linear", 5000.0, 0.5, 400)
MODEL = VAEConfig(length=400, channels=(4, 8), kernels=(5, 3), strides=(4, 2), latents=3)


def write_files(folder: Path, n: int) -> None:
    rng = np.random.default_rng(0)
    for i in range(n):
        image = fits.PrimaryHDU((100 + 10 * rng.normal(size=420)).astype("f4"))
        image.header.update(CRVAL1=4995.0, CDELT1=0.5, CTYPE1="AWAV", CUNIT1="Angstrom")
        image.writeto(folder / f"{i:04d}.fits")


def child(work: Callable[[], object]) -> None:
    """Run something in a fork to its end, which may be a kill."""
    process = os.fork()
    if process == 0:
        work()
        os._exit(0)
    status = os.waitpid(process, 0)[1]
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        sys.exit("a run failed; see above")


def die_at(output: int) -> None:
    """Let this process be killed when it puts output number 0, 1 or 2 in place."""
    replace, seen = os.replace, []

    def killing(source, target, **options):
        seen.extend([target] * Path(target).name.startswith("latents."))
        if len(seen) > output:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target, **options)

    os.replace = killing


def encode(files: Path, output: Path, log: Path, last: int | None, delay: float) -> None:
    """Encode with what was read in the log, one file per line; die some seconds after a file."""
    kill = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL))

    def progress(done: int, total: int) -> None:
        if last is not None and done >= last and not kill.ident:
            kill.start()

    read = rows.read_spectrum
    with log.open("a", buffering=1) as stream:

        def counted(source, **options):
            stream.write(f"{source}\n")
            return read(source, **options)

        rows.read_spectrum = counted
        torch.manual_seed(0)
        model = SpectrumVAE(MODEL, PrepareConfig(GRID)).eval()
        # In batches of one, whose latents do not depend on where a block begins.
        options = {"batch_size": 1, "workers": 2, "progress": progress}
        encoding.encode(files, model, output=output, **options)


def outputs(folder: Path) -> dict[str, bytes]:
    """Files of a folder; of the provenance without the time."""
    found = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    provenance = json.loads(found["latents.json"])
    del provenance["time"]
    return found | {"latents.json": json.dumps(provenance).encode()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=400)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--block", type=int, default=32, help="files a part")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    encoding.BLOCK = options.block
    rng = np.random.default_rng(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        files, log = Path(folder) / "files", Path(folder) / "log"
        files.mkdir()
        write_files(files, options.files)

        def run(name: str, last: int | None = None, at: int | None = None) -> None:
            (Path(folder) / name).mkdir(exist_ok=True)
            output = Path(folder) / name / "latents.npy"

            def work() -> None:
                if at is not None:
                    die_at(at)
                encode(files, output, log, last, rng.exponential(0.02))

            child(work)

        prepare(read_spectrum(next(files.iterdir())), PrepareConfig(GRID))  # compiles
        run("undisturbed")
        expected = outputs(Path(folder) / "undisturbed")
        kept, early, late = 0, 0, 0
        for number in range(options.kills):
            target = Path(folder) / str(number)
            final = number % 5 == 4
            if final:
                run(str(number), at=number // 5 % 3)
            else:
                rng.random()  # so that the delay, which the fork draws, is another one
                run(str(number), last=int(rng.integers(options.files)))
            parts = target / "latents.npy.parts"
            done = len(list(parts.glob("*.npz"))) if parts.is_dir() else 0
            written = final or (target / "latents.json").exists()
            log.unlink(missing_ok=True)
            run(str(number))
            again = len(log.read_text().splitlines()) if log.exists() else 0
            left = max(options.files - done * options.block, 0)
            ended = written and not done  # before the kill: all is done once more
            assert ended or again == left, f"kill {number}: {again} files read, {left} were left"
            found = sorted(path.name for path in target.iterdir())
            assert found == sorted(expected), f"kill {number}: {found} in the folder"
            assert outputs(target) == expected, f"kill {number}: other outputs"
            kept, early, late = kept + done, early + (not done), late + final
        print(
            f"{options.kills} kills of a run over {options.files} files: "
            f"{early} without a part yet, {late} in the writing of the outputs; "
            f"{kept} parts of {options.block} files taken up, none of them computed again; "
            "outputs equal byte for byte, nothing else left"
        )


if __name__ == "__main__":
    main()
