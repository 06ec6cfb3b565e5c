"""Queries are encoded by the model that made the latents, and by no other."""

from dataclasses import replace

import numpy as np
import pytest

from latentscope import Retriever, read_spectrum, retrieve
from latentscope.data import Latents
from latentscope.errors import ChoiceError, ModelError
from latentscope.models.encode import encode
from latentscope.models.queries import encode_queries
from latentscope.models.weights import save_model
from tests.models.encoding import tiny_model, write_archive


@pytest.fixture
def encoded(tmp_path):
    """The files of six spectra, and their latents by a tiny model."""
    files = write_archive(tmp_path, 6)
    return files, encode(files, tiny_model(), workers=1, min_coverage=0.3)


def test_a_file_of_the_sample_gives_its_own_latents(encoded):
    files, latents = encoded
    found = encode_queries(files[2:4], latents, tiny_model(), workers=1)
    np.testing.assert_allclose(found.values, latents.values[2:4], atol=1e-5)
    assert found.provenance["min_coverage"] == 0.3
    result = Retriever(latents, dims="all").query(found, 9)
    assert result.queries["row"].tolist() == [2, 3]
    assert 2 not in set(result.matches(0)["row"])
    assert len(result.matches(0)) == 5


def test_files_are_read_as_those_of_the_sample_were(encoded):
    files, _ = encoded
    latents = encode(files, tiny_model(), workers=1, min_coverage=0.3, hdu="1", frame="barycentric")
    found = encode_queries(files[:1], latents, tiny_model(), workers=1)
    assert [found.provenance[name] for name in ("hdu", "frame")] == ["1", "barycentric"]
    assert "as it was asked for" in found.table["assumed"][0]
    np.testing.assert_allclose(found.values, latents.values[:1], atol=1e-5)
    spectra = [read_spectrum(files[0], frame="topocentric")]
    found = encode_queries(spectra, latents, tiny_model(), workers=1)
    assert found.provenance["frame"] is None


def test_a_file_that_fails_keeps_its_place_and_says_why(encoded, tmp_path):
    files, latents = encoded
    (tmp_path / "bad.fits").write_bytes(b"garbage")
    found = encode_queries([tmp_path / "bad.fits", files[0]], latents, tiny_model(), workers=1)
    result = Retriever(latents, dims="all").query(found, 2)
    assert [name for name, _ in result.failed] == ["bad"]
    assert "bad.fits" in result.failed[0][1]
    assert len(result.matches(1)) == 2


def test_a_folder_can_stand_for_a_model_of_an_unknown_name(encoded, tmp_path):
    files, latents = encoded
    with pytest.raises(ModelError, match=r"'tiny', which is not known.*-m MODEL"):
        encode_queries(files[:1], latents)
    save_model(tiny_model(), tmp_path / "folder")
    found = encode_queries(files[:1], latents, str(tmp_path / "folder"), workers=1)
    np.testing.assert_allclose(found.values, latents.values[:1], atol=1e-5)


def test_latents_without_provenance_take_the_model_that_is_given(encoded):
    files, latents = encoded
    bare = Latents(latents.values, source="bare.npy")
    with pytest.raises(ModelError, match=r"bare.npy: does not say which model"):
        encode_queries(files[:1], bare)
    found = encode_queries(files[:1], bare, tiny_model(), workers=1)
    np.testing.assert_allclose(found.values, latents.values[:1], atol=1e-5)


def test_spectra_rows_and_values_are_asked_for_in_one_list(encoded):
    files, latents = encoded
    query = [0, files[2], str(files[3]), read_spectrum(files[4]), latents.values[5:6]]
    result = retrieve(query, latents, n_matches=2, model=tiny_model(), dims="all")
    assert result.queries["row"].tolist()[:4] == [0, 2, 3, 4]
    assert result.queries["matches"].tolist() == [2] * 5
    alone = retrieve(files[2], latents, n_matches=2, model=tiny_model(), dims="all")
    np.testing.assert_array_equal(alone.matches(0)["row"], result.matches(1)["row"])
    with pytest.raises(ChoiceError, match=r"no row is named 'absent.fits'"):
        retrieve("absent.fits", latents, dims="all")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"seed": 1}, "made by tiny with other weights than tiny has"),
        ({"normalization": "median-padded"}, "with another preparation of spectra than tiny"),
    ],
)
def test_another_model_is_refused(encoded, model, message):
    files, latents = encoded
    with pytest.raises(ModelError, match=message):
        encode_queries(files[:1], latents, tiny_model(**model))


def test_a_model_of_another_number_of_latents_is_refused(encoded):
    files, latents = encoded
    wide = replace(latents, values=np.zeros((6, 5)), provenance={})
    with pytest.raises(ModelError, match="has 5 dimensions, the model tiny has 3"):
        encode_queries(files[:1], wide, tiny_model())
