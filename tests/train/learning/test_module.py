import dataclasses

import lightning
import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d
from torch.utils._python_dispatch import TorchDispatchMode

from latentscope.errors import ModelError
from latentscope.models.network import LOGVAR_RANGE, SpectrumVAE
from latentscope.spectra.prepare import PrepareConfig
from train.data.batches import Batch
from train.learning.losses import kl_per_dim
from train.learning.module import Average, SpectrumModule, averaged, take_average
from train.settings import OptimizerConfig, Schedule, Stage

pytestmark = pytest.mark.filterwarnings("ignore:.*isinstance.*LeafSpec")


def plain(config, **changes):
    """The configuration as that of a plain autoencoder in one stage."""
    architecture = dataclasses.replace(config.architecture, variational=False, **changes)
    stages = (Stage(40, Schedule(0.0), learning_rate=Schedule(1e-2)),)
    return dataclasses.replace(config, architecture=architecture, stages=stages)


def test_the_loss_is_the_stated_sum(config, module_of):
    module = module_of(config)
    module.model.eval()
    rows = torch.randn(3, config.prepare.row_size)
    terms = module.terms(rows)
    decoded, mean, logvar = module.model(rows)
    kept = torch.from_numpy((~config.prepare.grid.gap_mask).astype("f4"))
    lines = 0.5 * (((decoded - rows)[:, :512] * kept) ** 2).sum(1)
    assert torch.allclose(terms["lines"], lines, rtol=1e-5)
    assert torch.allclose(terms["continuum"], 0.5 * ((decoded - rows)[:, 512:] ** 2).sum(1))
    assert torch.allclose(terms["kl"], kl_per_dim(mean, logvar))


@pytest.mark.parametrize("floor", [0.0, 0.05])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_a_step_minimises_the_weighted_sum_of_what_it_logs(config, train, reduction, floor):
    stage = Stage(3, Schedule(0.5), continuum_weight=Schedule(0.3), free_bits=Schedule(floor))
    sizes = (1, 1, 1) if reduction == "sum" else (512, 8, 3)
    seen = []

    class Look(lightning.Callback):
        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
            seen.append({k: float(v) for k, v in trainer.callback_metrics.items()})
            assert float(outputs["loss"]) == pytest.approx(seen[-1]["loss"], rel=1e-6)

    config = dataclasses.replace(config, stages=(stage,), reduction=reduction)
    train(config, callbacks=[Look()])
    for figures in seen:
        parts = figures["lines"], 0.3 * figures["continuum"], 0.5 * figures["kl"]
        expected = sum(part / size for part, size in zip(parts, sizes, strict=True))
        slack = 0.5 * 3 * floor / sizes[2]  # what free bits may add to the KL
        assert expected * (1 - 1e-5) <= figures["loss"] <= (expected + slack) * (1 + 1e-5)


def test_in_bfloat16_the_loss_is_that_of_the_decoded_rows_in_float32(config, train, noise):
    stage = Stage(4, Schedule(0.5), blur=Schedule(3.0), decorrelation=Schedule(2.0))
    config = dataclasses.replace(config, stages=(stage,), penalty_spectra=2)
    data, rows, logged, passed = noise(config), [], [], []

    class Look(lightning.Callback):
        def on_train_start(self, trainer, module):
            inner = module.passed
            module.passed = lambda *args: passed.append(inner(*args)) or passed[-1]

        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
            rows.append(batch.rows)
            logged.append({k: float(v) for k, v in trainer.callback_metrics.items()})

    module, _ = train(config, data, callbacks=[Look()], precision="bf16-mixed")
    for batch, step, seen in zip(rows, passed, logged, strict=True):
        assert step.decoded.dtype == torch.float32
        lines = (step.decoded.detach() - batch)[:, :512].double() * module.valid
        smooth = gaussian_filter1d(np.pad(lines, ((0, 0), (30, 30))), 3.0, truncate=8.0)
        assert seen["lines"] == pytest.approx(0.5 * (smooth**2).sum(1).mean(), rel=1e-5)
        covariance = np.cov(step.mean.detach().double().T, bias=True)
        off = (covariance**2).sum() - (np.diag(covariance) ** 2).sum()
        assert seen["decorrelation"] == pytest.approx(off, rel=1e-4)


@pytest.mark.parametrize("loss", ["l1", "ivar"])
def test_other_reconstruction_terms(config, module_of, loss):
    module = module_of(dataclasses.replace(config, loss=loss))
    module.model.eval()
    rows = torch.randn(3, config.prepare.row_size)
    ivar = torch.rand(3, 512) + 0.5
    valid = torch.rand(3, config.prepare.row_size) > 0.3
    terms = module.terms(rows, valid=valid, ivar=ivar)
    residual = (module.model(rows)[0] - rows) * valid
    lines, continuum = residual[:, :512] * module.valid, residual[:, 512:]
    if loss == "l1":
        expected = lines.abs().sum(1), continuum.abs().sum(1)
    else:
        expected = 0.5 * (ivar * lines**2).sum(1), 0.5 * (continuum**2).sum(1)
    assert torch.allclose(terms["lines"], expected[0], rtol=1e-5)
    assert torch.allclose(terms["continuum"], expected[1], rtol=1e-5)
    blurry = module.terms(rows, 4.0, valid=valid, ivar=ivar)["lines"]
    assert (blurry < terms["lines"]).all()


def test_errors_have_to_come_with_the_spectra(config, train, noise):
    config = dataclasses.replace(config, loss="ivar")
    with pytest.raises(ModelError, match=r"step 0 come without .*spectrum \d+.*loss: l2"):
        train(config)
    _, losses = train(config, noise(config, ivar=torch.full((4, 512), 1e4)))
    assert losses[config.steps] > 100 * train(dataclasses.replace(config, loss="l2"))[1][10]


def test_log_variances_are_held_to_the_range(config, module_of):
    assert config.logvar_range == LOGVAR_RANGE
    module = module_of(dataclasses.replace(config, logvar_range=(-1.0, 0.5)))
    with torch.no_grad():
        module.model.logvar.bias.copy_(torch.tensor([-9.0, 0.0, 9.0]))
    passed = module.passed(torch.zeros(2, config.prepare.row_size), seed=0)
    assert torch.all(passed.logvar[:, 0] == -1.0)
    assert torch.all(passed.logvar[:, 2] == 0.5)


class Parts:
    """Batches of another data module, each cut in two."""

    def __init__(self, data):
        self._data = data

    def __getattr__(self, name):
        return getattr(self._data, name)

    def batch(self, number):
        whole = self._data.batch(number // 2)
        half = slice(number % 2, None, 2)
        return Batch(whole.rows[half], whole.numbers[half])


def test_a_step_in_two_parts_is_the_step(config, train, noise):
    config = plain(config)
    config = dataclasses.replace(config, stages=(dataclasses.replace(config.stages[0], steps=6),))
    whole, _ = train(config, noise(config))
    data = dataclasses.replace(config.data, accumulate=2)
    data_in_parts = noise(config)
    cut = Parts(noise(config))
    data_in_parts.batch, data_in_parts.steps = cut.batch, 12
    parts, _ = train(
        dataclasses.replace(config, data=data), data_in_parts, accumulate_grad_batches=2
    )
    assert parts.trainer.global_step == 6
    for key, value in whole.model.state_dict().items():
        assert torch.allclose(value, parts.model.state_dict()[key], atol=1e-5), key


def test_the_optimizer_is_torchs_by_name(config, module_of):
    optimizer = {"name": "SGD", "arguments": {"weight_decay": 0.1, "momentum": 0.9}}
    module = module_of(dataclasses.replace(config, optimizer=OptimizerConfig(**optimizer)))
    made = module.configure_optimizers()
    assert type(made) is torch.optim.SGD
    assert (made.defaults["weight_decay"], made.defaults["momentum"]) == (0.1, 0.9)
    assert type(module_of(config).configure_optimizers()) is torch.optim.Adam
    for name, arguments in (("Adams", {}), ("lr_scheduler", {}), ("AdamW", {"decay": 1})):
        wrong = dataclasses.replace(config, optimizer=OptimizerConfig(name, arguments))
        with pytest.raises(ModelError, match=f"optimizer: .*{name}"):
            module_of(wrong).configure_optimizers()


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_gradients_are_clipped_to_the_norm(config, train, precision):
    norms = []

    class Look(lightning.Callback):
        def on_before_zero_grad(self, trainer, module, optimizer):
            gradients = [p.grad for p in module.model.parameters() if p.grad is not None]
            if gradients:
                norms.append(float(torch.stack([g.norm() for g in gradients]).norm()))

    train(config, callbacks=[Look()], precision=precision)
    assert max(norms) > 1.0
    norms.clear()
    clipped = dataclasses.replace(config, clip_gradients=1e-2)
    train(clipped, callbacks=[Look()], precision=precision)
    assert norms
    assert max(norms) <= 1e-2 * (1 + 1e-5)


@pytest.mark.parametrize("latents", [8, 128])
def test_a_plain_autoencoder_learns_without_draws(config, train, latents):
    config = plain(config, latents=latents)
    module, losses = train(config)
    assert losses[40] < 0.5 * losses[1]
    assert torch.all(module.terms(torch.zeros(2, config.prepare.row_size))["kl"] == 0)
    again = train(config)[1]
    assert again == losses


LINEAR = {
    "grid": {"kind": "linear", "start": 3800.0, "step": 0.01, "length": 500, "pad_right": 12,
             "gaps": [[3801.0, 3801.5]]},
    "normalization": "median-padded",
}  # fmt: skip


@pytest.mark.parametrize("variational", [True, False])
def test_a_linear_grid_and_the_published_end_of_the_decoder(config, train, variational):
    architecture = dataclasses.replace(
        config.architecture, extra=0, output="conv", doppler=False, variational=variational,
        latents=8,
    )  # fmt: skip
    stages = (Stage(80, Schedule(0.0), learning_rate=Schedule(1e-2)),)
    config = dataclasses.replace(
        config, architecture=architecture, prepare=PrepareConfig.from_dict(LINEAR), stages=stages
    )
    module, losses = train(config)
    assert losses[80] < 0.7 * losses[1]
    assert torch.all(module.terms(torch.zeros(2, 512))["continuum"] == 0)


def everything(config):
    """A configuration in which each optional part of the loss and of the step is in use."""
    stages = (
        Stage(8, Schedule(0.0, 0.5, curve="cyclic", cycles=2), free_bits=Schedule(0.05),
              blur=Schedule(3.0, 0.0), total_correlation=Schedule(0.3)),
        Stage(6, Schedule(0.1), decorrelation=Schedule(2.0), revive=True),
    )  # fmt: skip
    return dataclasses.replace(
        config, stages=stages, loss="l1", clip_gradients=1.0, ema_decay=0.8, penalty_spectra=12
    )


@pytest.mark.filterwarnings("ignore:.*dataloader is not resumable")
@pytest.mark.parametrize("step", [6, 12])
def test_a_run_that_is_taken_up_loses_nothing(config, train, tmp_path, step):
    config, checkpoint = everything(config), tmp_path / "kept.ckpt"

    class Keep(lightning.Callback):
        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
            if trainer.global_step == step:
                trainer.save_checkpoint(checkpoint)

    whole, losses = train(config, callbacks=[Keep()])
    parts, later = train(config, resume=checkpoint)
    assert later == pytest.approx({s: v for s, v in losses.items() if s > step}, abs=1e-6)
    for key, value in whole.state_dict().items():
        same = parts.state_dict()[key]
        assert torch.allclose(value, same, atol=1e-6) if torch.is_tensor(value) else value == same
    whole.finish(whole.trainer.datamodule)
    parts.finish(parts.trainer.datamodule)
    for key, value in whole.model.state_dict().items():
        assert torch.allclose(value, parts.model.state_dict()[key], atol=1e-6), key


def test_what_is_exported_is_the_average(config, train):
    module, _ = train(dataclasses.replace(config, ema_decay=0.99, close_below=1e9))
    own = module.model.expand.weight.clone()
    with averaged(module.model, module.average):
        seen = module.model.encoder[0].weight.clone()
    assert torch.equal(module.model.expand.weight, own)
    module.finish(module.trainer.datamodule)
    assert torch.equal(module.model.encoder[0].weight, seen)
    assert torch.all(module.model.expand.weight == 0)  # and every dimension is closed


def test_revival_forgets_moments_average_and_memory(config, train):
    module, _ = train(everything(config))
    optimizer = module.trainer.optimizers[0]
    assert optimizer.state
    before = module.model.mean.weight.clone()
    module.revive([0])
    assert not optimizer.state
    assert not torch.equal(module.model.mean.weight[0], before[0])
    with averaged(module.model, module.average):
        assert not torch.equal(module.model.mean.weight[0], before[0])


@pytest.mark.parametrize(("kind", "beta"), [("turn", 0.0), ("gather", 100.0)])
def test_a_stage_may_begin_with_a_turn_that_leaves_the_spectra_as_they_are(
    config, train, kind, beta
):
    still = Stage(1, Schedule(0.0), learning_rate=Schedule(0.0))
    turns = dataclasses.replace(still, **{kind: True})
    opened = Stage(40, Schedule(beta), learning_rate=Schedule(1e-2))
    modules = [
        train(dataclasses.replace(config, stages=(opened, last), rotate=False))[0]
        for last in (still, turns)
    ]
    rows = torch.from_numpy(modules[0].trainer.datamodule.validation_rows[:20].astype("f4"))
    with torch.no_grad():
        before, after = (module.model.encode(rows, fit=False)[0] for module in modules)
        same = [m.model.decode(z) for m, z in zip(modules, (before, after), strict=True)]
    assert (before - after).abs().max() > 1e-2 * before.abs().max()
    assert torch.allclose(*same, atol=1e-4)


def test_where_lines_count_equally_strong_ones_count_less(config, module_of):
    plain = module_of(config)
    equal = SpectrumModule(plain.model, dataclasses.replace(config, equal_lines=0.005))
    plain.model.eval()
    rows = torch.randn(3, config.prepare.row_size) * torch.tensor([[0.01], [0.1], [1.0]])
    ratio = equal.terms(rows)["lines"] / plain.terms(rows)["lines"]
    power = rows[:, :512].square().mean(1)
    assert torch.allclose(ratio, 0.02 / (0.005 + power), rtol=1e-4)


def test_a_checkpoint_of_another_recipe_is_refused(config, module_of):
    checkpoint = {}
    module = module_of(config)
    module.on_save_checkpoint(checkpoint)
    module.on_load_checkpoint(checkpoint)
    other = module_of(dataclasses.replace(config, loss="l1"))
    with pytest.raises(ModelError, match="another configuration"):
        other.on_load_checkpoint(checkpoint)


def test_a_model_without_preparation_is_refused(config):
    with pytest.raises(ModelError, match="preparation"):
        SpectrumModule(SpectrumVAE(config.architecture), config)


def test_draws_follow_from_the_seed(config, module_of):
    module = module_of(config)
    rows = torch.zeros(4, config.prepare.row_size)
    first, second = module.passed(rows, seed=3).z, module.passed(rows, seed=3).z
    assert torch.equal(first, second)
    assert not torch.equal(first, module.passed(rows, seed=4).z)
    module.model.eval()
    assert torch.equal(module.passed(rows, seed=3).z, module.passed(rows).mean)
    assert np.isfinite(first.detach().numpy()).all()


def model_of(config, seed):
    torch.manual_seed(seed)
    return SpectrumVAE(config.architecture, config.prepare)


def weights(model):
    return {key: value.clone() for key, value in model.state_dict().items()}


class Silent(TorchDispatchMode):
    """Refuses what makes the host wait for a device: to read a value, or to count those of a mask.

    On a CPU too, where nobody would notice.
    """

    READS = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal")

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        masks = name == "index" and any(i is not None and i.dtype == torch.bool for i in args[1])
        if name in self.READS or masks:
            raise AssertionError(f"{name} waits for the device")
        return function(*args, **(kwargs or {}))


def test_a_step_never_waits_for_its_device(config, train, monkeypatch):
    """Forward, loss, penalties, backward, optimizer, average: all of a step but the look at its
    loss, which a GPU gets some steps later."""
    stage = Stage(
        6, Schedule(0.5), blur=Schedule(3.0, 0.0), free_bits=Schedule(0.05),
        total_correlation=Schedule(0.3), decorrelation=Schedule(0.2), dependence=Schedule(0.1),
    )  # fmt: skip
    config = dataclasses.replace(
        config, stages=(stage,), ema_decay=0.9, penalty_spectra=8, clip_gradients=1.0
    )
    monkeypatch.setattr("train.learning.module.stop_if_not_finite", lambda *args: None)
    silent, steps = Silent(), []

    class Watched(lightning.Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            if trainer.global_step > 0:  # the first step of an optimizer and of an average may ask
                silent.__enter__()
                steps.append(batch_idx)

        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
            if batch_idx in steps:
                silent.__exit__(None, None, None)

    class Start(lightning.Callback):
        def on_train_start(self, trainer, module):
            trainer.callbacks.insert(0, trainer.callbacks.pop())  # ours ends before others look

    train(config, callbacks=[Start(), Watched()], log_every_n_steps=100)
    assert steps == [1, 2, 3, 4, 5]


def test_the_average_is_the_recursion_of_its_decay(config):
    model = model_of(config, 0)
    average = Average(model, 0.9)
    steps = [weights(model_of(config, seed)) for seed in (1, 2, 3)]
    expected = steps[0]
    for step in steps:
        model.load_state_dict(step)
        average.update_parameters(model)
    for step in steps[1:]:
        expected = {key: 0.9 * value + 0.1 * step[key] for key, value in expected.items()}
    own = weights(model)
    with averaged(model, average):
        seen = weights(model)
    for key, value in expected.items():
        assert torch.allclose(seen[key], value, atol=1e-7), key
    assert all(torch.equal(own[key], value) for key, value in weights(model).items())
    take_average(model, average)
    assert all(torch.equal(seen[key], value) for key, value in weights(model).items())
    with averaged(model, average):  # begun anew: no second average of the average
        assert all(torch.equal(seen[key], value) for key, value in weights(model).items())


def test_before_its_first_update_there_is_no_average(config):
    model = model_of(config, 0)
    average = Average(model, 0.9)
    model.load_state_dict(model_of(config, 1).state_dict())
    own = weights(model)
    with averaged(model, average):
        assert all(torch.equal(own[key], value) for key, value in weights(model).items())
    with averaged(model, None):
        assert all(torch.equal(own[key], value) for key, value in weights(model).items())
