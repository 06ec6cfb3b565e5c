"""Throughput of `encode` from FITS files of 5 MB to latents, and how it grows with workers.

    python -m benchmarks.scale --files 96 --passes 4 --repeats 2 --workers 1,2

Threads, and processes of a Dask cluster on this machine that runs already; one torch thread each.
The processor's time is that of threads. With --memory it measures instead, in a process of its
own, the largest memory while so many small files are encoded:

    python -m benchmarks.scale --memory 100000 --output latents.parquet
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import warnings
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks import encode_speed, interrupted
from benchmarks.timing import markdown_table, rounds, wall_and_processor
from latentscope.models.config import PUBLISHED_ARCHITECTURE, published_prepare
from latentscope.models.encode import encode
from latentscope.models.network import SpectrumVAE
from latentscope.models.weights import load_model
from latentscope.spectra.prepare import PrepareConfig
from latentscope.workers import NO_PAGE

LINKS = 30_000  # to one file, fewer than file systems allow


def throughput(files: list[Path], counts: list[int], repeats: int) -> None:
    from distributed import Client, LocalCluster

    torch.manual_seed(0)
    published = SpectrumVAE(PUBLISHED_ARCHITECTURE, published_prepare("median-padded")).eval()
    networks = {
        "harps-sim": (load_model("harps-sim"), True),
        "published, no recon_error": (published, False),
        "published": (published, True),
    }
    rows = []
    with ExitStack() as stack:
        clients = {}
        for count in counts:
            cluster = LocalCluster(n_workers=count, threads_per_worker=1, scheduler_kwargs=NO_PAGE)
            stack.enter_context(cluster)
            clients[count] = stack.enter_context(Client(cluster, set_as_default=False))
        for name, (model, recon_error) in networks.items():
            work = partial(encode, files, model, recon_error=recon_error)
            ways = {
                f"{count} {engine}": partial(
                    work, workers=count, dask=clients[count] if engine == "Dask" else None
                )
                for engine in ("threads", "Dask")
                for count in counts
            }
            taken = rounds(ways, repeats, wall_and_processor, warm=True)
            one = taken[f"{counts[0]} threads"][:, 0].min()
            for way, times in taken.items():
                wall, processor = times.min(axis=0)
                cpu = f"{processor / len(files) * 1e3:.1f}" if "threads" in way else ""
                rows.append((name, way, f"{len(files) / wall:.1f}", f"{one / wall:.2f}", cpu))
    header = ("network", "workers", "spectra per second", "ratio", "ms of the processor each")
    print(markdown_table(header, rows))


def memory(folder: Path, n: int, name: str) -> None:
    torch.manual_seed(0)
    config = replace(interrupted.MODEL, latents=128)
    model = SpectrumVAE(config, PrepareConfig(interrupted.GRID)).eval()
    interrupted.write_files(folder, -(-n // LINKS))
    originals = sorted(folder.glob("*.fits"))
    (folder / "files").mkdir()
    for i in range(n):
        os.link(originals[i // LINKS], folder / "files" / f"{i:07d}.fits")
    latents = encode(folder / "files", model, output=folder / name)
    assert latents.provenance["ok"] == n
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{n:,} files into {name}: {largest:.0f} MB at most")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=32)
    parser.add_argument("--passes", type=int, default=4, help="over the files, in one run")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", default="1,2", help="numbers to compare")
    parser.add_argument("--memory", type=int, metavar="N", help="small files instead")
    parser.add_argument("--output", default="latents.npy")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.memory:
            memory(Path(folder), options.memory, options.output)
            return
        files = encode_speed.write_files(Path(folder), options.files)
        counts = np.array(options.workers.split(","), dtype=int).tolist()
        warnings.filterwarnings("ignore", ".* for more than one row")
        throughput(files * options.passes, counts, options.repeats)


if __name__ == "__main__":
    main()
