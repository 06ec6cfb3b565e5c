"""Packing spectra, and reading packed archives back shuffled, measured in one run.

Packing: files as `latentscope simulate` writes them, on one core, against reading and preparing the
same files without writing anything; ADP files have errors, so inverse variances are packed too.
Reading: the packed rows, repeated to `--rows`, as shuffled batches of float16 with their masks,
against a memory-mapped .npy of the same rows, read as one would first: a permutation of all rows, a
batch of them at a time. Both come from the page cache, so that the figures are what a processor can
deliver, and both run in turn. Run:

    python -m benchmarks.archive_speed --files 100 --rows 4000 --repeats 3
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.timing import Work, in_turns
from latentscope.simulation.simulate import file_name, simulate, write_spectrum
from latentscope.spectra.prepare import PrepareConfig
from train.data.archive import ArchiveStore, Layout, PackedArchive, unpacked
from train.data.packed import Draw, PackedBatches
from train.data.packing import named_preparation, pack, read_files

BATCH = 32


def layout_of(prepare: PrepareConfig, kind: str, ivar: bool = False) -> Layout:
    size = prepare.ivar_size if ivar else 0
    return Layout.sized(prepare.row_size, "float16", compression=kind, ivar_size=size)


def packing(files: list[Path], prepare: PrepareConfig, folder: Path, repeats: int) -> dict:
    layouts = {kind: layout_of(prepare, kind) for kind in ("zstd", "lz4")}
    if files[0].name.startswith("ADP"):
        layouts |= {f"{kind}, ivar": layout_of(prepare, kind, ivar=True) for kind in layouts}
    archives = iter(folder / f"packed-{number}.zarr" for number in range(10_000))

    def read_all() -> None:
        for at in range(0, len(files), 16):
            read_files(files[at : at + 16], prepare, 0.5, "float16")

    ways: dict[str, Work] = {"read and prepare alone": read_all}
    for kind, layout in layouts.items():
        ways[f"pack, {kind}"] = lambda layout=layout: pack(
            files, next(archives), prepare, layout=layout, workers=1
        )
    read_all()
    return {name: len(files) / taken for name, taken in in_turns(ways, repeats).items()}


def repeated(source: PackedArchive, n: int, folder: Path, kind: str) -> PackedArchive:
    """An archive of `n` rows, each row of `source` again and again in another chunk."""
    layout = layout_of(source.prepare, kind, ivar=source.ivar_size > 0)
    store = ArchiveStore.create(folder, source.settings, layout)
    rows, bits = source.read(np.arange(len(source)))
    valid = unpacked(bits, source.row_size)
    root = source.read(np.arange(len(source)), ivar=True)[2] if source.ivar_size else None
    record = source.table.iloc[0].to_dict()
    for first in range(0, n, layout.shard):
        numbers = np.arange(first, min(n, first + layout.shard))
        records = [record | {"file": f"{i}", "row": row} for row, i in enumerate(numbers)]
        at = numbers % len(rows)
        store.add(rows[at], valid[at], records, None if root is None else root[at])
    store.finish(store.table(), [], {})
    return PackedArchive(folder, threads=1)


def mapped(path: Path, n: int) -> Iterator[torch.Tensor]:
    """Shuffled batches of a memory-mapped .npy, without masks."""
    rows = np.load(path, mmap_mode="r")
    order = np.random.default_rng(0).permutation(len(rows))
    for first in range(0, n // BATCH * BATCH, BATCH):
        yield torch.from_numpy(rows[np.sort(order[first : first + BATCH])])


def reading(source: PackedArchive, n: int, folder: Path, repeats: int) -> tuple[dict, dict]:
    archives = {
        kind: repeated(source, n, folder / f"{kind}.zarr", kind) for kind in ("zstd", "lz4")
    }
    everything = archives["zstd"].read(np.arange(n))[0]
    np.save(folder / "rows.npy", everything)
    size = everything.nbytes
    stored = {
        kind: size / sum(f.stat().st_size for f in (folder / f"{kind}.zarr/rows").rglob("*"))
        for kind in archives
    }
    draw = Draw(np.arange(n), 0)
    ways: dict[str, Work] = {
        "np.memmap, row by row": lambda: [0 for _ in mapped(folder / "rows.npy", n)]
    }
    for kind, archive in archives.items():
        for ivar in (False, True)[: 1 + (source.ivar_size > 0)]:
            batches = PackedBatches(archive, draw, BATCH, n // BATCH, window_mb=64, ivar=ivar)
            name = f"packed, {kind}{', ivar' * ivar}"
            ways[name] = lambda batches=batches: [0 for _ in batches]
    for way in ways.values():
        way()
    done = n // BATCH * BATCH
    return {name: done / taken for name, taken in in_turns(ways, repeats).items()}, stored


def measure(
    prepare: PrepareConfig, files: list[Path], rows: int, folder: Path, repeats: int
) -> dict:
    folder.mkdir()
    packed = packing(files, prepare, folder, repeats)
    archives = [PackedArchive(path) for path in sorted(folder.glob("packed-*.zarr"))]
    source = max(archives, key=lambda archive: archive.ivar_size)
    read, stored = reading(source, rows, folder, repeats)
    return {"row_size": source.row_size, "pack": packed, "read": read, "compressed": stored}


def report(model: str, result: dict) -> None:
    row_mb = 2 * result["row_size"] / 1e6
    print(f"\n{model}: rows of {result['row_size']} float16, {row_mb * 1e3:.0f} kB each")
    for what in ("pack", "read"):
        base = next(iter(result[what].values()))
        for name, rate in result[what].items():
            line = f"{name:26}{rate:10.1f} spectra/s{rate * row_mb:9.1f} MB/s of rows"
            print(f"{line}{rate / base:8.2f}x")
    for kind, ratio in result["compressed"].items():
        print(f"{kind}: {ratio:.2f} times smaller than the rows")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--rows", type=int, default=4000, help="of 20,800 values; fewer if longer")
    parser.add_argument("--models", default="harps-sim,astro-machines")
    parser.add_argument("--layout", choices=("s1d", "adp"), default="s1d")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = [folder / file_name(index, options.layout) for index in range(options.files)]
        for (spectrum, _), file in zip(simulate(options.files), files, strict=True):
            write_spectrum(spectrum, file, options.layout)
        for model in options.models.split(","):
            _, prepare = named_preparation(model, None)
            rows = max(options.rows * 20_800 // prepare.row_size, 2 * BATCH)
            report(model, measure(prepare, files, rows, folder / model, options.repeats))


if __name__ == "__main__":
    main()
