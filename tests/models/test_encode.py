"""encode: one row per input, the same whatever the batches and workers."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from astropy.table import Table
from threadpoolctl import threadpool_info, threadpool_limits

from latentscope.data import read_latents
from latentscope.errors import LatentscopeWarning, ModelError, SpectrumError, TableError
from latentscope.models import encode as encode_module
from latentscope.models.encode import _measured, encode
from latentscope.models.network import SpectrumVAE
from latentscope.models.rows import COLUMNS
from latentscope.models.trust import TRUST_COLUMNS
from latentscope.models.weights import load_model, save_model
from latentscope.simulation.simulate import simulate
from latentscope.spectra.prepare import prepare
from latentscope.spectra.read import read_spectrum
from latentscope.spectra.spectrum import Spectrum
from latentscope.spectra.wavelength import SPEED_OF_LIGHT, doppler_shift
from tests.models.encoding import GRID, tiny_model, write_adp, write_archive


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return write_archive(tmp_path_factory.mktemp("archive"), 12)


def one_by_one(files, model):
    """Oracle: each file alone through the public steps."""
    values, errors = [], []
    for file in files:
        prepared = prepare(read_spectrum(file), model.prepare)
        row = torch.from_numpy(prepared.row)[None]
        with torch.no_grad():
            mean, _ = model.encode(row)
            residual = (model.decode(mean) - row)[0].numpy()[: model.config.length]
        values.append(mean[0].numpy())
        errors.append(np.sqrt(np.mean(residual[prepared.valid[: model.config.length]] ** 2)))
    return np.array(values), np.array(errors)


@pytest.mark.parametrize("normalization", ["median-padded", "median-valid", "continuum"])
@pytest.mark.parametrize(("batch_size", "workers"), [("auto", None), (1, 1), (5, 3)])
def test_rows_are_the_models_own_whatever_the_batches(archive, normalization, batch_size, workers):
    model = tiny_model(normalization)
    latents = encode(archive, model, batch_size=batch_size, workers=workers)
    values, errors = one_by_one(archive, model)
    np.testing.assert_allclose(latents.values, values, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(latents.table["recon_error"], errors, rtol=1e-4)
    assert set(latents.table.columns) == {*COLUMNS, *TRUST_COLUMNS, "recon_segments"}
    assert latents.table.columns[-1] == "recon_segments"
    assert list(latents.ids) == [file.name.removesuffix(".fits") for file in archive]
    assert (latents.table["status"] == "ok").all()
    assert (latents.table["coverage"] == 1).all()


@pytest.mark.parametrize("change", ["double", "half", "bfloat16"])
def test_latents_are_float32_whatever_a_model_computes_in(archive, change):
    model = tiny_model()
    other = getattr(tiny_model(), change)()
    rounded = getattr(tiny_model(), change)().float()
    expected = encode(archive, rounded if change != "double" else model)
    latents = encode(archive, other)
    assert latents.values.dtype == np.float32
    np.testing.assert_array_equal(latents.values, expected.values)
    np.testing.assert_array_equal(latents.table["recon_error"], expected.table["recon_error"])
    assert next(other.parameters()).dtype != torch.float32  # the caller's model stays as it was


@pytest.fixture
def default_float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_models_load_and_encode_where_torch_defaults_to_float64(archive, tmp_path, request):
    model = tiny_model()
    save_model(model, tmp_path)
    expected = encode(archive, model)
    request.getfixturevalue("default_float64")
    for other in (model, tmp_path, load_model(tmp_path)):
        latents = encode(archive, other, logvar=True)
        np.testing.assert_array_equal(latents.values, expected.values)
        np.testing.assert_array_equal(latents.table["recon_error"], expected.table["recon_error"])


def test_masked_spikes_move_no_latent(archive):
    model = tiny_model()
    spectrum = read_spectrum(archive[0])
    wavelength, flux = spectrum.wavelength, spectrum.flux.astype(float)
    bad = np.zeros(len(flux), dtype=bool)
    bad[np.random.default_rng(0).choice(len(flux), 20, replace=False)] = True
    spiked = np.where(bad, 1e9, flux)
    expected = encode((wavelength, np.ma.array(flux, mask=bad)), model).values
    for source in (
        (wavelength, np.ma.array(spiked, mask=bad)),
        (wavelength, spiked, bad),
        Table({"wave": wavelength, "flux": np.ma.array(spiked, mask=bad)}),
        pd.DataFrame({"wave": wavelength, "flux": np.where(bad, np.nan, flux)}),
        {"wave": wavelength, "flux": np.ma.array(spiked, mask=bad)},
    ):
        latents = encode(source, model)
        np.testing.assert_array_equal(latents.values, expected)
        np.testing.assert_array_equal(encode([source, source], model).values[1:], expected)
    assert np.abs(encode((wavelength, spiked), model).values - expected).max() > 1e-3


def test_a_broken_file_costs_its_own_row_alone(archive, tmp_path):
    model = tiny_model()
    (tmp_path / "broken.fits").write_bytes(archive[0].read_bytes()[:4000])
    files = [*archive[:4], tmp_path / "broken.fits", tmp_path / "absent.fits", *archive[4:]]
    latents = encode(files, model, batch_size=4, output=tmp_path / "latents.npy")
    good = np.delete(np.arange(len(files)), [4, 5])
    assert np.isnan(latents.values[[4, 5]]).all()
    np.testing.assert_allclose(latents.values[good], encode(archive, model).values, rtol=1e-5)
    assert list(np.flatnonzero(~latents.ok)) == [4, 5]
    assert list(latents.table["status"].iloc[[3, 4, 5, 6]]) == ["ok", "failed", "failed", "ok"]
    assert "broken.fits" in latents.table["error"][4]
    assert "no such file" in latents.table["error"][5]
    assert latents.provenance["failed"] == 2
    assert latents.provenance["ok"] == 12


def test_any_exception_of_a_reader_is_one_failed_row(archive, monkeypatch):
    import latentscope.models.rows as rows

    def fragile(source, **options):
        if source == archive[2]:
            raise RecursionError("too\ndeep")
        return read_spectrum(source)

    monkeypatch.setattr(rows, "read_spectrum", fragile)
    latents = encode(archive, tiny_model())
    assert list(np.flatnonzero(~latents.ok)) == [2]
    assert latents.table["error"][2] == f"{archive[2]}: RecursionError: too deep"


def test_a_shortage_of_memory_is_no_failed_row(archive, tmp_path, monkeypatch):
    import latentscope.models.encode as encoding
    import latentscope.models.rows as rows

    def hungry(source, **options):
        if source == archive[5]:
            raise MemoryError
        return read_spectrum(source, **options)

    monkeypatch.setattr(encoding, "BLOCK", 4)
    output = tmp_path / "latents.npy"
    with monkeypatch.context() as patched:
        patched.setattr(rows, "read_spectrum", hungry)
        with pytest.raises(SpectrumError, match=f"{archive[5].name}: out of memory"):
            encode(archive, tiny_model(), output=output, workers=1)
    assert not output.exists()
    assert len(list(tmp_path.glob("latents.npy.parts/*.npz"))) == 1
    assert encode(archive, tiny_model(), output=output).ok.all()


def test_coverage_below_the_limit_fails_and_a_lower_limit_lets_it_through(tmp_path):
    write_adp(tmp_path / "half.fits", last=5090.25)
    model = tiny_model()
    strict = encode(tmp_path / "half.fits", model)
    assert strict.table["status"][0] == "failed"
    assert "less than 0.5" in strict.table["error"][0]
    assert strict.table["coverage"][0] == pytest.approx((181 - 21) / (400 - 21))
    assert encode(tmp_path / "half.fits", model, min_coverage=0.4).ok.all()


def test_degenerate_spectra_have_a_status_of_their_own(archive, tmp_path):
    write_adp(tmp_path / "dark.fits", level=20.0)
    latents = encode([tmp_path / "dark.fits", archive[0]], tiny_model(min_median=50.0))
    assert list(latents.table["status"]) == ["degenerate", "ok"]
    assert "not above 50" in latents.table["error"][0]
    assert list(latents.ok) == [False, True]
    assert latents.provenance["degenerate"] == 1


def test_latents_that_are_not_finite_fail_alone(archive):
    class Breaks(SpectrumVAE):
        def encoding(self, rows):
            found = super().encoding(rows)
            found.mean[(rows[:, 3:50] == 1).all(dim=1)] = torch.nan
            return found

    base = tiny_model()
    model = Breaks(base.config, base.prepare)
    model.load_state_dict(base.state_dict())
    spectra = [read_spectrum(file) for file in archive]
    whole = encode(spectra, model, batch_size=12, workers=1)
    assert whole.ok.all()
    flat = Spectrum(GRID.wavelength.copy(), np.full(GRID.length, 5.0))
    flat.flux[-1] = 6.0  # where nothing looks
    latents = encode([*spectra[:3], flat, *spectra[3:]], model, batch_size=13, workers=1)
    assert list(np.flatnonzero(~latents.ok)) == [3]
    assert latents.table["error"][3] == "the network gives no finite latents"
    np.testing.assert_allclose(np.delete(latents.values, 3, axis=0), whole.values, rtol=1e-5)


def test_headers_reach_the_table(tmp_path):
    header = [("SNR", 81.5), ("HIERARCH ESO TEL AIRM START", 1.2)]
    header += [("HIERARCH ESO DRS BERV", -3.5), ("ARCFILE", "ADP.2015-01-01T00:00:00.000.fits")]
    header += [("INSTRUME", "HARPS"), ("HIERARCH ESO INS MODE", "EGGS"), ("PROG_ID", "60.A-1")]
    header += [("DATE-OBS", "2015-01-01T00:00:00.0"), ("EXPTIME", 30.0)]
    write_adp(tmp_path / "a.fits", seed=3, header=header)
    table = encode(tmp_path / "a.fits", tiny_model()).table
    row = table.iloc[0]
    assert (row["object"], row["star"]) == ("HD3", "HD3")
    assert (row["snr"], row["airmass"], row["berv"]) == (81.5, 1.2, -3.5)
    assert row["archive_id"].startswith("ADP.2015-01-01")
    assert (row["instrument"], row["mode"], row["program"]) == ("HARPS", "EGGS", "60.A-1")
    assert (row["mjd"], row["exptime"]) == (57023.0, 30.0)
    assert row["median"] == pytest.approx(100, rel=0.1)


def test_outputs_carry_rows_table_and_provenance(archive, tmp_path):
    model = tiny_model()
    path = tmp_path / "out" / "latents.npy"
    latents = encode(archive, model, output=path, logvar=True)
    stored = read_latents(path)
    np.testing.assert_array_equal(stored.values, latents.values)
    np.testing.assert_array_equal(stored.logvar, latents.logvar)
    assert stored.values.dtype == np.float32
    assert list(stored.ids) == list(latents.ids)
    provenance = json.loads(path.with_suffix(".json").read_text())
    assert provenance["model"] == "tiny"
    assert len(provenance["weights_sha256"]) == 64
    assert provenance["mad_threshold"] == 0.05
    assert provenance["prepare"] == model.prepare.to_dict()
    assert provenance["n"] == provenance["ok"] == 12
    assert {"command", "time", "latentscope", "device"} <= set(provenance)
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "latents.csv",
        "latents.json",
        "latents.logvar.npy",
        "latents.npy",
    ]


def test_log_variances_are_the_models(archive):
    model = tiny_model()
    latents = encode(archive[:2], model, logvar=True, recon_error=False)
    rows = np.stack([prepare(read_spectrum(file), model.prepare).row for file in archive[:2]])
    with torch.no_grad():
        expected = model.encode(torch.from_numpy(rows))[1].numpy()
    np.testing.assert_allclose(latents.logvar, expected, rtol=1e-5, atol=1e-6)
    assert latents.table["recon_error"].isna().all()
    assert encode(archive[:1], model).logvar is None


def test_the_table_says_where_a_fitted_velocity_is_ambiguous():
    star, truth = next(simulate(1, seed=11))
    flux = star.flux / np.median(star.flux)
    wavelength = star.wavelength

    def moved(rv):
        return np.interp(wavelength, doppler_shift(wavelength, rv), flux)

    noise = np.random.default_rng(0).normal(1.0, 1.0, len(flux))
    given = [moved(0.0), moved(-250.0), moved(90.0) + moved(-60.0), noise]
    model = load_model("harps-sim")
    found = encode([(wavelength, one) for one in given], model, logvar=True, workers=1)
    table = found.table
    assert table["rv_ambiguous"].tolist() == [False, False, True, True]
    assert (table["rv_second_peak"][:2] < 0.3).all()
    assert table["rv_second_peak"][2] > 0.8
    unit = model.doppler_scale.item() * model.prepare.grid.step * SPEED_OF_LIGHT  # km/s
    assert unit * (found.values[1, 0] - found.values[0, 0]) == pytest.approx(-250.0, abs=0.5)
    assert unit * found.values[0, 0] == pytest.approx(truth["radvel"], abs=2.0)
    assert (unit * np.exp(0.5 * found.logvar[:2, 0]) < 0.3).all()


def test_models_without_a_doppler_layer_say_nothing_of_velocities(archive):
    table = encode(archive[:2], tiny_model()).table
    assert table["rv_ambiguous"].tolist() == ["", ""]
    assert table["rv_second_peak"].isna().all()


def test_deterministic_models_encode_and_have_no_log_variance(archive):
    model = tiny_model(variational=False)
    assert encode(archive[:2], model).ok.all()
    with pytest.raises(ModelError, match="deterministic"):
        encode(archive[:2], model, logvar=True)


def test_repeated_ids_are_said_once(archive, tmp_path):
    copy = shutil.copy(archive[0], tmp_path)
    with pytest.warns(LatentscopeWarning, match="2 ids stand for more than one row") as caught:
        latents = encode([archive[0], archive[1], archive[1], copy], tiny_model())
    assert len(caught) == 1
    assert caught[0].filename == __file__
    np.testing.assert_allclose(latents.values[0], latents.values[3], rtol=1e-6)


def test_one_repeated_id_is_said_in_the_singular(archive):
    with pytest.warns(LatentscopeWarning, match="^1 id stands for more than one row"):
        encode([archive[0], archive[0]], tiny_model())


def test_memory_running_out_halves_the_batch(archive, monkeypatch):
    model = tiny_model()
    expected = encode(archive, model).values
    sizes = []
    encode_rows = SpectrumVAE.encoding

    def small_device(self, rows):
        sizes.append(len(rows))
        if len(rows) > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return encode_rows(self, rows)

    monkeypatch.setattr(SpectrumVAE, "encoding", small_device)
    monkeypatch.setattr("latentscope.models.encode._Engine._chunks", whole_blocks)
    latents = encode(archive, model, workers=1)
    np.testing.assert_allclose(latents.values, expected, rtol=1e-5, atol=1e-6)
    assert sizes == [12, 6, 3, 1, *[1] * 11]
    with pytest.raises(ModelError, match=r"out of memory on cpu at 8 spectra.*'auto'"):
        encode(archive, model, batch_size=8, workers=1)


def whole_blocks(self, blocks):
    return [(sources, first) for first, sources in blocks]


def test_other_errors_of_the_network_are_not_taken_for_memory(archive, monkeypatch):
    def broken(self, rows):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(SpectrumVAE, "encoding", broken)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        encode(archive, tiny_model())


def test_the_blas_has_one_thread_while_workers_encode(archive, monkeypatch):
    def blas_threads():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    seen = []
    read = encode_module.read_chunk
    monkeypatch.setattr(
        encode_module, "read_chunk", lambda *a, **k: seen.append(blas_threads()) or read(*a, **k)
    )
    with threadpool_limits(limits=2, user_api="blas"):
        before = blas_threads()
        encode(archive[:2], tiny_model("continuum"), workers=1)
        assert blas_threads() == before
    assert seen
    assert {1} == {threads for pools in seen for threads in pools}


def test_torch_keeps_its_threads_and_the_model_its_state(archive):
    before = torch.get_num_threads()
    model = tiny_model().train()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    encode(archive, model, workers=2)
    assert torch.get_num_threads() == before
    assert model.training
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())


def test_progress_ends_at_the_total_and_never_falls(archive, monkeypatch):
    monkeypatch.setattr("latentscope.models.encode.BLOCK", 5)
    seen = []
    encode(archive, tiny_model(), batch_size=2, progress=lambda *now: seen.append(now))
    assert seen[-1] == (12, 12)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


def test_a_name_or_a_folder_stands_for_the_model(archive, tmp_path, monkeypatch):
    model = tiny_model()
    folder = save_model(model, tmp_path / "models" / "tiny")
    expected = encode(archive, model).values
    np.testing.assert_array_equal(encode(archive, folder).values, expected)
    monkeypatch.setattr("latentscope.models.config.BUNDLED", folder.parent)
    np.testing.assert_array_equal(encode(archive, "tiny").values, expected)


def test_spectra_need_no_files():
    wavelength = np.arange(4995.0, 5205.0, 0.1)
    spectra = [Spectrum(wavelength, wavelength) for _ in range(3)]
    latents = encode(spectra, tiny_model())
    assert list(latents.ids) == [f"spectrum-00000{i}" for i in range(3)]
    assert latents.ok.all()
    assert isinstance(latents.table, pd.DataFrame)


def test_open_files_and_pairs_encode(archive):
    model = tiny_model()
    expected = encode(archive[0], model).values
    with archive[0].open("rb") as stream:
        latents = encode(stream, model)
    assert list(latents.table["file"]) == [str(archive[0])]
    spectrum = read_spectrum(archive[0])
    pair = encode((spectrum.wavelength, spectrum.flux), model)
    for found in (latents, pair):
        np.testing.assert_allclose(found.values, expected, rtol=1e-5)


def test_rows_that_all_failed_do_not_replace_an_earlier_output(archive, tmp_path):
    output, model = tmp_path / "latents.npy", tiny_model()
    encode(archive[:2], model, output=output)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.warns(LatentscopeWarning, match=r"none of 1 spectra.*latents\.npy") as caught:
        assert not encode(tmp_path / "absent.fits", model, output=output).ok.any()
    assert caught[0].filename == __file__
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    encode(tmp_path / "absent.fits", model, output=tmp_path / "new.npy")
    assert "no such file" in pd.read_csv(tmp_path / "new.csv")["error"][0]


def test_a_table_of_labels_is_never_replaced(archive, tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text("id,Teff\na,5777\n")
    with pytest.raises(TableError, match=r"would replace .*labels\.csv"):
        encode(archive[:1], tiny_model(), output=tmp_path / "labels.npy")
    assert labels.read_text() == "id,Teff\na,5777\n"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch_size": 0}, ModelError, "batch size is 0"),
        ({"batch_size": "large"}, ModelError, "batch size is 'large'"),
        ({"workers": 0}, ModelError, "workers is 0"),
        ({"min_coverage": float("nan")}, SpectrumError, "min_coverage is nan"),
        ({"min_coverage": -0.1}, SpectrumError, "from 0 to 1"),
        ({"precision": "float16"}, ModelError, "expected float32 or bf16"),
        ({"device": "abacus"}, ModelError, "expected auto, cpu, cuda"),
        ({"output": "latents.csv"}, TableError, r"ends in \.npy or \.parquet"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_any_work(archive, options, error, message):
    with pytest.raises(error, match=message):
        encode(archive, tiny_model(), **options)


@pytest.mark.skipif(
    not torch.cpu._is_avx512_bf16_supported(), reason="needs a processor with AVX512_BF16"
)
def test_bfloat16_is_near_and_said(archive):
    exact, near = (encode(archive, tiny_model(), precision=name) for name in ("float32", "bf16"))
    assert (exact.provenance["precision"], near.provenance["precision"]) == ("float32", "bf16")
    difference = np.abs(near.values - exact.values).max() / np.abs(exact.values).max()
    assert 1e-6 < difference < 0.02


def test_a_model_must_know_its_preparation_and_sources_must_name_something(archive):
    with pytest.raises(ModelError):
        encode(archive, SpectrumVAE(tiny_model().config))
    with pytest.raises(SpectrumError, match="no spectra"):
        encode([], tiny_model())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_the_cpu(archive):
    model = tiny_model()
    cuda, cpu = (encode(archive, model, device=device) for device in ("cuda", "cpu"))
    np.testing.assert_allclose(cuda.values, cpu.values, rtol=1e-4, atol=1e-5)
    assert next(model.parameters()).device.type == "cpu"


@pytest.mark.parametrize("length", [70, 1000, 20_480])
def test_errors_in_one_pass_are_those_of_numpy(length):
    rng = np.random.default_rng(length)
    rows, drawn = rng.normal(1, 0.1, (2, 3, length)).astype(np.float32)
    inside = rng.random((3, length)) < 0.8
    inside[1, : length // 3] = inside[2] = False  # segments, and a row, without a valid pixel
    rows[0, 5] = drawn[0, 5] = np.nan
    inside[0, 5] = False
    error, segments, contrast, roughness = _measured(rows, inside, drawn)
    for k in range(2):
        use, row, misfit = inside[k], rows[k].astype(float), (drawn[k] - rows[k]).astype(float)
        assert error[k] == pytest.approx(np.sqrt(np.mean(misfit[use] ** 2)), rel=1e-5)
        assert contrast[k] == pytest.approx(row[use].std(), rel=1e-5)
        steps = np.diff(row)[use[1:] & use[:-1]]
        assert roughness[k] == pytest.approx(np.sqrt(np.mean(steps**2)), rel=1e-5)
        parts = zip(*(np.array_split(values, 32) for values in (misfit, use)), strict=True)
        expected = [
            np.sqrt(np.mean(part[known] ** 2)) if 2 * known.sum() >= len(known) else np.nan
            for part, known in parts
        ]
        np.testing.assert_allclose(segments[k], expected, rtol=1e-5)
    assert np.isnan([error[2], contrast[2], roughness[2], *segments[2]]).all()


def test_parquet_holds_what_the_three_files_do(archive, tmp_path, monkeypatch):
    monkeypatch.setattr("latentscope.models.encode.BLOCK", 4)
    monkeypatch.setattr("latentscope.data._ROW_GROUP", 5)
    archive, model = [tmp_path / "absent.fits", *archive], tiny_model()
    whole = encode(archive, model, output=tmp_path / "x.npy", logvar=True, batch_size=1)
    failed = encode(archive, model, output=tmp_path / "y.parquet", logvar=True, batch_size=1)
    assert sorted(path.name for path in tmp_path.glob("y*")) == ["y.parquet"]
    one, other = read_latents(tmp_path / "x.npy"), read_latents(tmp_path / "y.parquet")
    np.testing.assert_array_equal(one.values, other.values)
    np.testing.assert_array_equal(one.logvar, other.logvar)
    text = ["object", "star", "archive_id", "error", "assumed", "verdict"]  # all of them empty
    text += [name for name in one.table if one.table[name].isna().all()]
    pd.testing.assert_frame_equal(one.table.drop(columns=text), other.table.drop(columns=text))
    assert other.table["error"][0] == whole.table["error"][0]
    ours = one.provenance | {"time": ""}
    assert ours == other.provenance | {"time": ""}
    assert (ours["n"], ours["failed"]) == (len(archive), 1)
    # The others may be more than memory holds.
    assert failed.ids.tolist() == whole.ids.tolist()[:1]


def test_parquet_without_a_row_that_is_ok_leaves_the_earlier_file(archive, tmp_path):
    output = tmp_path / "y.parquet"
    encode(archive, tiny_model(), output=output)
    before = output.read_bytes()
    with pytest.warns(LatentscopeWarning, match="of an earlier run stays"):
        encode(tmp_path / "absent.fits", tiny_model(), output=output)
    assert output.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["y.parquet"]
