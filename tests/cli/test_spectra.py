"""encode, inspect and simulate on simulated and on real files."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits

import latentscope.models.encode as encoding
from latentscope.spectra.read import read_spectrum

GL581 = "HARPS.2010-09-18T23:42:36.178_s1d_A.fits"
HD140283 = "hd140283.fits"


def rewritten_as_adp(s1d, path):
    """Write an S1D file's spectrum as an ESO phase-3 product: one table row of array cells."""
    with fits.open(s1d) as hdus:
        header, flux = hdus[0].header.copy(), np.asarray(hdus[0].data, dtype=np.float32)
    first, step = header["CRVAL1"], header["CDELT1"]
    wave = first + step * (np.arange(flux.size) + 1 - header.get("CRPIX1", 1))
    columns = [
        fits.Column("WAVE", f"{flux.size}D", unit="Angstrom", array=wave[None]),
        fits.Column("FLUX", f"{flux.size}E", unit="adu", array=flux[None]),
        fits.Column("ERR", f"{flux.size}E", unit="adu", array=np.full((1, flux.size), np.nan)),
    ]
    primary = fits.PrimaryHDU()
    primary.header["OBJECT"] = header["OBJECT"]
    primary.header["SPECSYS"] = "BARYCENT"
    fits.HDUList([primary, fits.BinTableHDU.from_columns(columns)]).writeto(path)


@pytest.fixture(scope="module")
def published_checkpoint(tmp_path_factory):
    """A checkpoint with the published names and shapes, and random weights."""
    import torch

    from latentscope.models.config import PUBLISHED_ARCHITECTURE
    from latentscope.models.network import SpectrumVAE
    from latentscope.models.weights import PUBLISHED_KEYS

    with torch.random.fork_rng():
        torch.manual_seed(2)
        ours = SpectrumVAE(PUBLISHED_ARCHITECTURE).state_dict()
    state = {
        theirs: ours[name].squeeze(2) if ours[name].ndim == 4 else ours[name]
        for theirs, name in PUBLISHED_KEYS.items()
    }
    path = tmp_path_factory.mktemp("checkpoint") / "model_128d_e182_i1500000.pth.tar"
    torch.save({"epoch": 1, "state_dict": state}, path)
    return path


@pytest.fixture(scope="module")
def real_files(shared_data, tmp_path_factory):
    """Gl581 as S1D, the same spectrum as ADP, and HD140283 by another instrument."""
    adp = tmp_path_factory.mktemp("adp") / "ADP.2014-09-17T11:22:33.444.fits"
    rewritten_as_adp(shared_data / GL581, adp)
    return [shared_data / GL581, adp, shared_data / HD140283]


@pytest.mark.parametrize(("model", "dims"), [("bundled", 16), ("published", 128)])
def test_real_spectra_encode(command, real_files, published_checkpoint, tmp_path, model, dims):
    output = tmp_path / "latents.npy"
    chosen = ["-m", published_checkpoint] if model == "published" else []
    ended = command("encode", *real_files, *chosen, "-o", output, "--json", "--logvar")
    assert ended.code == 0, ended.err
    assert ended.json["encoded"] == 3
    latents, table = np.load(output), pd.read_csv(output.with_suffix(".csv"))
    assert latents.shape == (3, dims)
    assert latents.dtype == np.float32
    assert np.isfinite(latents).all()
    assert np.isfinite(np.load(tmp_path / "latents.logvar.npy")).all()
    spread = np.abs(latents[2] - latents[0]).max()
    np.testing.assert_allclose(latents[1], latents[0], atol=1e-3 * spread)
    assert list(table["status"]) == ["ok"] * 3
    assert list(table["object"]) == ["Gl581", "Gl581", "HD140283"]
    assert table["coverage"].min() > 0.99
    assert json.loads(output.with_suffix(".json").read_text())["ok"] == 3


def test_inspect_of_a_real_file(command, shared_data):
    ended = command("inspect", shared_data / GL581, "-m", "astro-machines-nosuch")
    assert ended.code == 1
    ended = command("inspect", shared_data / GL581, "--json")
    assert ended.code == 0
    (summary,) = ended.json["spectra"]
    assert summary["object"] == "Gl581"
    assert (summary["medium"], summary["frame"]) == ("air", "barycentric")
    assert summary["first"] == pytest.approx(3781.19)
    assert summary["coverage"] == pytest.approx(1.0)
    assert summary["berv"] == pytest.approx(-23.544, abs=1e-3)


def test_inspect_some_of_which_fail(command, archive, tiny_model, tmp_path):
    files = sorted(archive.glob("*.fits"))
    ended = command("inspect", files[0], tmp_path / "nosuch.fits", files[1], "-m", tiny_model)
    assert ended.code == 3
    assert ended.out.count("coverage        1") == 2
    assert ended.out.count("3781.19 Angstrom") == 2
    assert "failed: " in ended.err
    whole = command("inspect", archive, "-m", tiny_model, "--json").json["spectra"]
    assert [row["file"] for row in whole] == list(map(str, files))


def test_inspect_and_encode_take_the_hdu_and_the_frame_asked_for(command, tiny_model, tmp_path):
    tables = [
        fits.BinTableHDU.from_columns(
            [
                fits.Column("WAVE", "D", unit="Angstrom", array=start + 0.01 * np.arange(200000)),
                fits.Column("FLUX", "E", array=np.ones(200000)),
            ],
            name=name,
        )
        for name, start in (("ONE", 4000.0), ("TWO", 4100.0))
    ]
    path = tmp_path / "two.fits"
    fits.HDUList([fits.PrimaryHDU(), *tables]).writeto(path)
    for hdu in ("2", "TWO"):
        ended = command(
            "inspect", path, "-m", tiny_model, "--hdu", hdu, "--frame", "rest", "--json"
        )
        summary = ended.json["spectra"][0]
        assert (summary["first"], summary["frame"]) == (4100.0, "rest")
    output = tmp_path / "latents.npy"
    chosen = ["--hdu", "2", "--frame", "topocentric"]
    command("encode", path, "-m", tiny_model, "-o", output, *chosen)
    provenance = json.loads(output.with_suffix(".json").read_text())
    assert [provenance[name] for name in ("hdu", "key", "frame")] == ["2", None, "topocentric"]
    assert command("inspect", path, "-m", tiny_model, "--frame", "lunar").code == 2


def test_inspect_needs_no_weights(tiny_model, archive):
    # Three commands in one process: torch stays out only if none of them loads it.
    file = str(min(archive.glob("*.fits")))
    choices = [[], ["-m", "astro-machines"], ["-m", str(tiny_model)]]
    code = (
        "import sys\n"
        "from latentscope.cli import main\n"
        f"for chosen in {choices!r}:\n"
        f"    sys.argv = ['latentscope', 'inspect', {file!r}, *chosen]\n"
        "    try:\n        main()\n    except SystemExit as end:\n"
        "        assert not end.code, (chosen, end.code)\n"
        "    assert 'torch' not in sys.modules, chosen"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("coverage ") == 3


def test_inspect_goes_on_after_any_error(command, archive, tiny_model, monkeypatch):
    import latentscope.spectra.read as readers

    files = sorted(archive.glob("*.fits"))[:3]
    read_spectrum = readers.read_spectrum

    def fragile(source, **options):
        if source == files[1]:
            raise RecursionError("too deep")
        return read_spectrum(source)

    monkeypatch.setattr(readers, "read_spectrum", fragile)
    ended = command("inspect", *files, "-m", tiny_model)
    assert ended.code == 3
    assert ended.out.count("coverage  ") == 2
    assert f"failed: {files[1]}: RecursionError: too deep" in ended.err


def test_a_reader_that_leaves_early_is_no_failure(archive):
    words = [sys.executable, "-m", "latentscope", "inspect", str(archive)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        running.stdout.close()
        assert running.stderr.read() == b""
    assert running.returncode == 141


def test_earlier_latents_outlive_a_run_in_which_all_failed(command, archive, tiny_model, tmp_path):
    output = tmp_path / "latents.npy"
    assert command("encode", min(archive.glob("*.fits")), "-m", tiny_model, "-o", output).code == 0
    before = output.read_bytes()
    ended = command("encode", tmp_path / "absent.fits", "-m", tiny_model, "-o", output, "--json")
    assert ended.code == 1
    assert "of an earlier run stays" in ended.err
    assert (ended.json["encoded"], ended.json["output"]) == (0, None)
    assert output.read_bytes() == before


def test_a_broken_file_among_good_ones_is_a_row_of_nan(command, archive, tiny_model, tmp_path):
    files = sorted(archive.glob("*.fits"))[:4]
    broken = tmp_path / "HARPS.broken_s1d_A.fits"
    broken.write_bytes(files[0].read_bytes()[:50_000])
    sources = [*files[:2], broken, *files[2:]]
    output = tmp_path / "out" / "latents.npy"
    ended = command("encode", *sources, "-m", tiny_model, "-o", output)
    assert ended.code == 3
    assert f"failed: {broken}" in ended.err
    assert "encoded 4 of 5" in ended.out
    latents, table = np.load(output), pd.read_csv(output.with_suffix(".csv"))
    assert list(np.isnan(latents).all(axis=1)) == [False, False, True, False, False]
    assert list(table["file"]) == [str(path) for path in sources]
    assert list(table["status"]) == ["ok", "ok", "failed", "ok", "ok"]
    assert broken.name in table["error"][2]
    assert table["error"].drop(2).isna().all()
    assert sorted(path.name for path in output.parent.iterdir()) == [
        "latents.csv",
        "latents.json",
        "latents.npy",
    ]


def test_files_may_be_named_in_many_ways(process, archive, tiny_model, tmp_path):
    files = sorted(archive.glob("*.fits"))
    (tmp_path / "list.txt").write_text(f"# two files\n{files[3]}\n\n{files[4]}\n")
    output = tmp_path / "latents.npy"
    ended = process(
        "encode", archive, str(archive / "*T00:[02]*.fits"), f"@{tmp_path / 'list.txt'}", "-",
        "-m", tiny_model, "-o", output, "--json", "--no-recon-error", "--batch-size", "3",
        stdin=f"{files[5]}\n",
    )  # fmt: skip
    assert ended.code == 0
    wanted = [*files, files[0], files[1], files[3], files[4], files[5]]
    assert list(pd.read_csv(output.with_suffix(".csv"))["file"]) == [str(path) for path in wanted]
    latents = np.load(output)
    np.testing.assert_allclose(latents[len(files) :], latents[[0, 1, 3, 4, 5]], atol=1e-5)
    assert pd.read_csv(output.with_suffix(".csv"))["recon_error"].isna().all()


def test_a_frame_that_the_air_contradicts_is_said(command, archive, tiny_model, tmp_path):
    output = tmp_path / "latents.npy"
    right = command("encode", archive, "-m", tiny_model, "-o", output)
    assert "O2 lines" not in right.err
    wrong = command("encode", archive, "-m", tiny_model, "-o", output, "--frame", "topocentric")
    assert wrong.err.count("warning: the O2 lines of the air contradict the frame") == 1
    notes = pd.read_csv(output.with_suffix(".csv"))["assumed"]
    assert notes.str.contains("--frame barycentric").any()


def test_what_files_do_not_say_is_said_once(command, tiny_model, tmp_path):
    wavelength = 3780.0 + 0.05 * np.arange(64_000)
    flux = 1 + 0.1 * np.sin(wavelength)
    for name in ("a.csv", "b.csv"):
        pd.DataFrame({"wave": wavelength, "flux": flux}).to_csv(tmp_path / name, index=False)
    files = [tmp_path / "a.csv", tmp_path / "b.csv"]
    ended = command("encode", *files, "-m", tiny_model, "-o", tmp_path / "latents.npy")
    assert ended.out.count("2 do not state medium or frame of their wavelengths") == 1


def test_coverage_limit(command, archive, tiny_model, tmp_path):
    file = sorted(archive.glob("*.fits"))[0]
    part = tmp_path / "part.csv"
    with fits.open(file) as hdus:
        flux = np.asarray(hdus[0].data[:100_000], dtype=float)
    wavelength = 3781.19 + 0.01 * np.arange(flux.size)
    pd.DataFrame({"wavelength": wavelength, "flux": flux}).to_csv(part, index=False)
    output = tmp_path / "latents.npy"
    few = command("encode", part, "-m", tiny_model, "-o", output)
    assert few.code == 1
    assert "--min-coverage" in few.err
    assert np.isnan(np.load(output)).all()
    enough = command("encode", part, "-m", tiny_model, "-o", output, "--min-coverage", "0.2")
    assert enough.code == 0
    assert np.isfinite(np.load(output)).all()


def test_simulate_writes_files_and_labels(command, tmp_path):
    options = ("-n", 2, "--seed", 3, "--workers", 1)
    ended = command("simulate", *options, "-o", tmp_path / "a", "--json")
    assert ended.code == 0
    assert ended.json["spectra"] == 2
    labels = pd.read_csv(tmp_path / "a" / "labels.csv")
    assert list(labels.columns) == [
        "id", "object", "radvel", "Teff", "logg", "[M/H]", "[alpha/M]", "[C/M]", "vsini",
        "vmacro", "berv", "airmass", "snr", "R", "spec_type",
    ]  # fmt: skip
    names = sorted(path.name for path in (tmp_path / "a").glob("*.fits"))
    assert names == [f"{name}.fits" for name in labels["id"]]
    assert all(name.startswith("ADP.") for name in names)
    command("simulate", *options, "-o", tmp_path / "b", "--layout", "s1d")
    size = next((tmp_path / "b").glob("*.fits")).stat().st_size
    assert 1.25e6 < size < 1.27e6
    assert f"simulating 2 spectra into {tmp_path / 'a'}, 10 MB" in ended.err


def test_simulate_refuses_what_the_disk_cannot_hold(command, tmp_path):
    ended = command("simulate", "-n", 10**9, "-o", tmp_path / "all")
    assert ended.code == 1
    assert "all: 4800000.0 GB are needed, and" in ended.err
    assert "write fewer (-n), or --layout s1d, or to another disk (-o)" in ended.err
    assert not (tmp_path / "all").exists()


@pytest.mark.slow
def test_plot_draws_what_can_be_read(command, archive, tiny_model, tmp_path):
    files = sorted(archive.glob("*.fits"))[:2]
    (tmp_path / "bad.fits").write_text("broken")
    picture = tmp_path / "both.png"
    ended = command(
        "plot", *files, tmp_path / "bad.fits", "-m", tiny_model, "-o", picture,
        "--wavelength", "5160-5190", "--wavelength", "6540-6580", "--rest", "--json",
    )  # fmt: skip
    assert ended.code == 3
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert [one["model"] for one in ended.json["spectra"]] == ["tiny", "tiny"]
    assert [one["file"] for one in ended.json["failed"]] == [str(tmp_path / "bad.fits")]


def test_plot_refuses_what_makes_no_picture(command, archive, tiny_model, tmp_path):
    file = next(archive.glob("*.fits"))
    for wrong in (["--wavelength", "5190-5160"], ["-o", tmp_path / "x.jpg"], [archive]):
        ended = command("plot", file, "-m", tiny_model, *wrong)
        assert ended.code == 2, ended.err
    ended = command("plot", tmp_path / "none.fits", "-o", tmp_path / "none.png")
    assert ended.code == 1
    assert not (tmp_path / "none.png").exists()


def test_reconstruct_writes_spectra_that_can_be_read(command, archive, tiny_model, tmp_path):
    files = sorted(archive.glob("*.fits"))[:2]
    (tmp_path / "bad.fits").write_text("broken")
    (tmp_path / files[0].name).write_bytes(files[0].read_bytes())
    folder = tmp_path / "made"
    ended = command(
        "reconstruct", *files, tmp_path / "bad.fits", tmp_path / files[0].name, "-m", tiny_model,
        "-o", folder,
    )  # fmt: skip
    assert ended.code == 3
    assert "written already" in ended.err
    names = {f"{file.stem}.reconstruction.fits" for file in files} | {"reconstruct.json"}
    assert {path.name for path in folder.iterdir()} == names
    made = read_spectrum(folder / f"{files[0].stem}.reconstruction.fits")
    assert len(made) == 2048
    assert made.meta["object"] == read_spectrum(files[0]).meta["object"]
    about = json.loads((folder / "reconstruct.json").read_text())
    assert about["weights_sha256"]
    assert len(about["spectra"]) == 2


def test_a_broken_file_in_the_second_part_shifts_no_row(command, archive, tmp_path, monkeypatch):
    monkeypatch.setattr(encoding, "BLOCK", 16)
    sources = sorted(archive.glob("*.fits"))
    folder = tmp_path / "spectra"
    folder.mkdir()
    copies = [folder / f"ADP.{i:04d}.fits" for i in range(36)]
    which = np.random.default_rng(0).permutation(36) % len(sources)
    for copy, source in zip(copies, which, strict=True):
        os.link(sources[source], copy)
    copies[21].unlink()
    copies[21].write_bytes(sources[0].read_bytes()[: 2880 * 50])
    output = tmp_path / "latents.npy"
    ended = command("encode", folder, "-o", output, "--json")
    assert ended.code == 3
    assert (ended.json["spectra"], ended.json["encoded"]) == (36, 35)
    assert [failure["file"] for failure in ended.json["failed"]] == [str(copies[21])]
    latents, table = np.load(output), pd.read_csv(output.with_suffix(".csv"))
    good = np.arange(36) != 21
    assert (np.isfinite(latents).all(axis=1) == good).all()
    assert np.isnan(latents[21]).all()
    assert (table["status"] == np.where(good, "ok", "failed")).all()
    assert copies[21].name in table["error"][21]
    # Rows did not shift: each is that of the spectrum it is a copy of.
    for source in range(len(sources)):
        rows = latents[good & (which == source)]
        np.testing.assert_allclose(rows, np.broadcast_to(rows[0], rows.shape), atol=1e-4)
    assert len(np.unique(latents[good].round(3), axis=0)) == len(sources)
    shutil.rmtree(folder)
