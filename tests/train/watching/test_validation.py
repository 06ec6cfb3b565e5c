import dataclasses

import numba
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from latentscope.diagnostics.activity import mad
from latentscope.diagnostics.mi.api import mi_matrix
from latentscope.models.network import SpectrumVAE
from train.learning.losses import kl_per_dim
from train.learning.module import SpectrumModule
from train.validation import Validation, dims_table, evaluated, figures, own_threads, validate


def seen_of(mean, kl=None):
    kl = np.ones(mean.shape[1]) if kl is None else np.asarray(kl, float)
    return Validation({"lines": 1.0, "continuum": 0.4}, mean, kl)


def latents(n=600, seed=0):
    """Three dimensions: the label of `labels`, noise, and one that is dead."""
    rng = np.random.default_rng(seed)
    mean = rng.normal(size=(n, 3))
    mean[:, 2] = 0.0
    return mean


def test_validation_is_the_loss_of_all_rows_at_once(module, data):
    with evaluated(module):
        seen = validate(module, data)
        rows = torch.from_numpy(data.validation_rows.astype("f4"))
        terms = module.terms(rows)
        mean, logvar = module.model.encode(rows)
    assert seen.losses["lines"] == pytest.approx(float(terms["lines"].mean()), rel=1e-5)
    assert seen.losses["continuum"] == pytest.approx(float(terms["continuum"].mean()), rel=1e-5)
    assert np.allclose(seen.mean, mean.numpy(), atol=1e-6)
    assert np.allclose(seen.kl, kl_per_dim(mean, logvar).mean(0).numpy(), atol=1e-6)


def test_masked_pixels_do_not_count(module, data):
    data.validation_valid = np.zeros(data.validation_rows.shape, bool)
    with evaluated(module):
        assert validate(module, data).losses["lines"] == 0.0


def test_looking_leaves_no_trace(module, data):
    module.train()
    before = torch.random.get_rng_state()
    with evaluated(module) as model:
        assert not model.training
        assert not torch.is_grad_enabled()
        validate(module, data)
    assert module.model.training
    assert torch.is_grad_enabled()
    assert torch.equal(torch.random.get_rng_state(), before)
    module.model.eval()
    with pytest.raises(KeyError), evaluated(module):
        raise KeyError
    assert not module.model.training


def test_mad_is_that_of_latentscope():
    mean = np.random.default_rng(1).normal(size=(101, 4)) * [1.0, 0.1, 0.001, 5.0]
    assert np.allclose(seen_of(mean).mad, mad(mean).values)


def test_active_units_are_those_of_burda():
    rng = np.random.default_rng(2)
    mean = rng.normal(size=(5000, 3)) * [1.0, 0.11, 0.09]
    table = dims_table(seen_of(mean), pd.DataFrame())
    assert np.allclose(table["variance"], np.var(mean, axis=0))
    assert table["active"].tolist() == [True, True, False]


def test_informative_means_by_mad_and_by_kl():
    mean = np.random.default_rng(3).normal(size=(500, 4)) * [1.0, 1.0, 0.001, 1.0]
    assert seen_of(mean, [0.5, 0.05, 3.0, 2.0]).informative == [3, 0]
    # a deterministic autoencoder has no KL: its MAD alone counts
    scaled = mean * [1, 2, 1, 3]
    assert seen_of(scaled, np.zeros(4)).informative == [3, 1, 0]


def test_the_labels_information_is_that_of_latentscope():
    mean = latents()
    rng = np.random.default_rng(4)
    labels = pd.DataFrame({"radvel": mean[:, 1] + 0.3 * rng.normal(size=600), "rare": np.nan})
    labels.loc[:1, "rare"] = 1.0
    table = dims_table(seen_of(mean), labels)
    expected = mi_matrix(mean[:, :2], labels[["radvel"]]).matrix.loc["radvel"]
    assert np.allclose(table["radvel_mi"][:2], expected)
    assert table["radvel_mi"][2] == 0.0
    # independent normal noise of 0.3: 0.5 log(1 + 1 / 0.09)
    assert table["radvel_mi"][1] == pytest.approx(0.5 * np.log(1 + 1 / 0.09), abs=0.15)
    assert table["rare_mi"].isna().all()


def test_a_network_gone_wrong_has_figures_all_the_same(module):
    mean = latents()
    mean[5] = np.inf
    labels = pd.DataFrame({"radvel": latents()[:, 0]})
    with np.errstate(invalid="ignore"):
        seen = seen_of(mean)
        table = dims_table(seen, labels)
    assert table["radvel_mi"].isna().all()


def test_only_the_strongest_of_many_dimensions_are_measured():
    rng = np.random.default_rng(5)
    mean = rng.normal(size=(100, 50))
    kl = rng.permutation(50).astype(float)
    labels = pd.DataFrame({"x": rng.normal(size=100)})
    table = dims_table(seen_of(mean, kl), labels)
    assert set(table.index[table["x_mi"].notna()]) == set(np.flatnonzero(kl >= 18))


def test_a_line_of_the_log(module):
    mean = latents()
    rng = np.random.default_rng(6)
    label = np.exp(mean[:, 1] + 0.2 * rng.normal(size=600))
    label[:50] = np.nan
    labels = pd.DataFrame({"Teff": label})
    seen = seen_of(mean, [0.2, 1.5, 0.0])
    line = figures(module, seen, dims_table(seen, labels), labels)
    assert line["kl"] == pytest.approx(1.7)
    assert line["loss"] == pytest.approx(1.0 + 0.4 + 0.1 * 1.7)  # beta of the last stage
    assert (line["kl_dims"], line["mad_dims"], line["active_dims"]) == (2, 2, 2)
    assert (line["Teff_dim"], line["Teff_mi_dim"]) == (1, 1)
    assert line["Teff_rank"] == pytest.approx(spearmanr(mean[50:, 1], label[50:]).statistic)
    assert line["doppler_scale"] == pytest.approx(3.0)
    assert all(isinstance(value, float) for value in line.values())


def test_without_labels_there_is_a_line_too(module, data):
    labels = pd.DataFrame(index=range(60))
    with evaluated(module):
        seen = validate(module, data)
        line = figures(module, seen, dims_table(seen, labels), labels)
    assert {"lines", "kl", "mad_dims"} <= set(line)


def test_threads_of_torch_stay_as_they_are():
    most = numba.get_num_threads()
    with own_threads():
        assert numba.get_num_threads() == 1
        mi_matrix(latents()[:, :2], latents(seed=1)[:, :1])
    assert torch.get_num_threads() == 1
    assert numba.get_num_threads() == most


def test_averaged_weights_are_those_looked_at(config, data):
    config = dataclasses.replace(config, ema_decay=0.5)
    module = SpectrumModule(SpectrumVAE(config.architecture, config.prepare), config)
    with torch.no_grad():
        module.average.update_parameters(module.model)
        for weight in module.model.parameters():
            weight.add_(1.0)
        module.average.update_parameters(module.model)
        own = module.model.mean.bias.clone()
        with evaluated(module) as model:
            assert torch.allclose(model.mean.bias, own - 0.5)
            seen = validate(module, data)
        assert torch.equal(module.model.mean.bias, own)
        assert not np.allclose(seen.mean, validate(module, data).mean)
