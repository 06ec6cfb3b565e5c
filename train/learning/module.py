"""A network in training: its step, and the moving average of its weights."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from latentscope.errors import ModelError
from latentscope.models.network import SpectrumVAE
from train.data.batches import Batch
from train.learning import dims as dimensions
from train.learning.callbacks import CollapseStop, Loss, stop_if_not_finite
from train.learning.devices import Later, mean_over_ranks, unit_noise
from train.learning.dims import gather, turn_to_least_dependence
from train.learning.losses import Penalties, in_errors, kl_per_dim, summed, with_free_bits
from train.settings import Stage, TrainConfig, continues

_LOOK_BACK = 4
"""Steps after which a GPU's loss is looked at: by then it has long been copied."""

ORDINARY = 0.015
"""Mean square of the line contrast of an ordinary star, a metal-poor G dwarf or an F dwarf."""


class Average(AveragedModel):
    """An exponential moving average of a model's weights, quieter than those of any one step.

    It begins at its first update; each leaves ``decay`` of the average and adds ``1 - decay`` of
    the weights.
    """

    def __init__(self, model: SpectrumVAE, decay: float) -> None:
        super().__init__(model)
        self.requires_grad_(False)
        self._decay, self._begun = decay, False

    def update_parameters(self, model: SpectrumVAE) -> None:  # type: ignore[override]
        """Take in new weights; torch's own asks the device twice whether it is the first time."""
        if not self._begun:
            self._begun = bool(self.n_averaged)
            for own_buffer, buffer in zip(self.module.buffers(), model.buffers(), strict=True):
                own_buffer.copy_(buffer)
        own = list(self.module.parameters())
        new = [weight.detach() for weight in model.parameters()]
        torch._foreach_lerp_(own, new, 1 - self._decay if self._begun else 1.0)
        self.n_averaged += 1
        self._begun = True

    def forget(self) -> None:
        """Begin anew at the next update."""
        self.n_averaged.zero_()
        self._begun = False


@contextmanager
def averaged(model: SpectrumVAE, average: AveragedModel | None) -> Iterator[None]:
    """Let a model have the averaged weights for a while, and its own again afterwards."""
    if average is None or int(average.n_averaged) == 0:
        yield
        return
    _exchange(model, average)
    try:
        yield
    finally:
        _exchange(model, average)


def take_average(model: SpectrumVAE, average: AveragedModel) -> None:
    """Give a model the averaged weights for good; the average begins anew."""
    if int(average.n_averaged) > 0:
        model.load_state_dict(average.module.state_dict())
    average.forget()


def _exchange(model: SpectrumVAE, average: AveragedModel) -> None:
    # Pointers change hands, not values: nothing is copied, whatever the size of the network.
    for one, other in zip(model.parameters(), average.module.parameters(), strict=True):
        one.data, other.data = other.data, one.data


class Passed(NamedTuple):
    """What the network makes of n rows, in float32."""

    decoded: Tensor  # (n, row_size)
    mean: Tensor  # (n, latents)
    logvar: Tensor | None  # held to the configuration's range; None of a plain autoencoder
    z: Tensor  # what was decoded: a draw of q(z|x) in training mode, else the mean


class SpectrumModule(lightning.LightningModule):
    """A `SpectrumVAE` in training.

    The loss of a spectrum is the reconstruction term of the line contrast's residual (blurred; by
    default half the sum of its squares), plus `continuum_weight` times that of the log continuum,
    plus `beta` times the KL in nats; the mean over the batch is minimized (Higgins et al. 2017),
    with the penalties of the stage added. With `reduction: mean` each term is over the number of
    its pixels or latents (Sedaghat et al. 2021, eq. 2); what is logged are the sums.
    """

    valid: Tensor

    def __init__(self, model: SpectrumVAE, config: TrainConfig) -> None:
        super().__init__()
        self.model, self.config = model, config
        if model.prepare is None:
            raise ModelError("a model to train needs its preparation; build it with `prepare`")
        valid = torch.ones(model.config.length)
        grid = model.prepare.grid
        if model.prepare.normalization == "continuum":
            valid[: grid.length] = torch.from_numpy((~grid.gap_mask).astype("f4"))
        # It follows from the grid, so that no checkpoint need hold it.
        self.register_buffer("valid", valid, persistent=False)
        self.average = Average(model, config.ema_decay) if config.ema_decay else None
        self.penalties = Penalties(config)
        self._losses: deque[Loss] = deque()
        self._stage = 0
        self._begun = time.monotonic()
        self._seconds_before = 0.0

    @property
    def seconds(self) -> float:
        """Wall time of the run so far, its interrupted parts included."""
        return self._seconds_before + time.monotonic() - self._begun

    def passed(self, rows: Tensor, seed: int | None = None) -> Passed:
        """Encode rows, draw z in training mode by `seed` (else fit the shift), and decode."""
        mean, logvar = self.model.encode(rows, fit=not self.model.training)
        mean = mean.float()
        if logvar is None:
            return Passed(self.model.decode(mean).float(), mean, None, mean)
        logvar = logvar.float().clamp(*self.config.logvar_range)
        z = mean
        if self.model.training:
            z = mean + unit_noise(mean, seed) * torch.exp(0.5 * logvar)
        return Passed(self.model.decode(z).float(), mean, logvar, z)

    def terms(
        self,
        rows: Tensor,
        blur: float = 0.0,
        seed: int | None = None,
        valid: Tensor | None = None,
        ivar: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return `lines` and `continuum`, shape (n,), and `kl` and `mean`, shape (n, latents).

        `blur` is in pixels, `seed` is that of the draw of z in training mode, `valid` are the
        pixels that count, `ivar` (n, length) is that of the lines for `loss: ivar`, by default 1.
        """
        return self._terms(self.passed(rows, seed), rows, blur, valid, ivar)

    def _terms(
        self, passed: Passed, rows: Tensor, blur: float, valid: Tensor | None, ivar: Tensor | None
    ) -> dict[str, Tensor]:
        residual = passed.decoded - rows
        if valid is not None:
            residual = residual * valid
        length, loss = self.model.config.length, self.config.loss
        lines = residual[:, :length] * self.valid
        if loss == "ivar" and ivar is not None:
            lines = in_errors(lines, ivar)
        floor = self.config.equal_lines
        if floor is not None:
            power = rows[:, :length].square().mean(1, keepdim=True)
            lines = lines * ((floor + ORDINARY) / (floor + power)).sqrt()
        mean, logvar = passed.mean, passed.logvar
        return {
            "lines": summed(lines, loss, blur),
            "continuum": summed(residual[:, length:], loss),
            "kl": torch.zeros_like(mean) if logvar is None else kl_per_dim(mean, logvar),
            "mean": mean,
        }

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step; every random draw follows from the run's seed and the step number.

        ModelError if the loss of the step before was not finite, or `loss: ivar` gets no errors.
        """
        # Some steps later, so that a device need not wait; at the same step in every process.
        self._stop_if_not_finite(_LOOK_BACK if batch.rows.is_cuda else 0)
        step = self.global_step
        _, stage, fraction = self.config.stage_at(step)
        if self.config.loss == "ivar" and batch.ivar is None:
            raise ModelError(
                f"loss: ivar, but the spectra of step {step} come without inverse variances "
                f"(the first is {self._names(batch.numbers[:1])[0]}); take data that have them, or "
                "set loss: l2"
            )
        rows, blur = batch.rows.float(), stage.blur.at(fraction)
        parts = self.config.data.accumulate
        draw = step * parts + batch_idx % parts
        # A prime beyond the steps of any run, so that runs of other seeds share no draw.
        passed = self.passed(rows, self.config.seed * 10_000_019 + draw)
        # Autocast is for the convolutions: sums over pixels and covariances need float32.
        with torch.autocast(rows.device.type, enabled=False):
            terms = self._terms(passed, rows, blur, batch.valid, batch.ivar)
            penalties = self.penalties(passed.mean, passed.logvar, passed.z)
            loss = self.loss_of(terms, stage, fraction)
            for name, value in penalties.items():
                loss = loss + getattr(stage, name).at(fraction) * value
        # Not by a scheduler: a run that is taken up has its rate from its step alone.
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = stage.learning_rate.at(fraction)
        self._note(step, loss, terms, penalties, batch, last=(batch_idx + 1) % parts == 0)
        return loss

    def loss_of(self, terms: dict[str, Tensor], stage: Stage, fraction: float) -> Tensor:
        """Reconstruction and KL of `terms`, mean over this process's spectra."""
        beta, floor = stage.beta.at(fraction), stage.free_bits.at(fraction)
        lines = terms["lines"]
        continuum = stage.continuum_weight.at(fraction) * terms["continuum"]
        kl = with_free_bits(terms["kl"], floor) if floor > 0 else terms["kl"].sum(1)
        if self.config.reduction == "mean":
            size = self.model.config
            lines, continuum = lines / size.length, continuum / max(size.extra, 1)
            kl = kl / size.latents
        return (lines + continuum + beta * kl).mean()

    def _note(
        self,
        step: int,
        loss: Tensor,
        terms: dict[str, Tensor],
        penalties: dict[str, Tensor],
        batch: Batch,
        last: bool,
    ) -> None:
        """Log what the (last part of the) batch says, and keep it until it is known finite."""
        _, stage, fraction = self.config.stage_at(step)
        each = {key: terms[key] for key in ("lines", "continuum")} | {"kl": terms["kl"].sum(1)}
        figures = {"loss": loss} | {key: value.mean() for key, value in each.items()} | penalties
        means = mean_over_ranks(torch.stack(list(figures.values())))
        # What is not written down is not logged: for Lightning that is milliseconds of work.
        if last and (step + 1) % self.trainer.log_every_n_steps == 0:
            self.log_dict(
                dict(zip(figures, means, strict=True))
                | {
                    "beta": stage.beta.at(fraction),
                    "blur": stage.blur.at(fraction),
                    "learning_rate": stage.learning_rate.at(fraction),
                },
                batch_size=len(batch.rows),
            )
        each = {key: values.detach() for key, values in each.items()}
        self._losses.append(Loss(step, Later(means[0]), each, batch))

    def _stop_if_not_finite(self, kept: int = 0) -> None:
        """Look at the losses of earlier steps but the last `kept`."""
        while len(self._losses) > kept:
            loss = self._losses.popleft()
            stop_if_not_finite(loss, Path(self.trainer.default_root_dir), self._names)

    def _names(self, numbers: Any) -> list[str]:
        names: list[str] = self.trainer.datamodule.names(numbers)
        return names

    def on_fit_start(self) -> None:
        """Ask how many spectra there are to learn from, where the data know it."""
        spectra = self.trainer.datamodule.provenance.get("spectra")
        if isinstance(spectra, int):
            self.penalties.learn_from(spectra)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Revive or gather dead dimensions and turn the others when a stage that asks begins."""
        index, stage, fraction = self.config.stage_at(self.global_step)
        begins = fraction == 0.0 and self._stage != index
        if begins and stage.turn:
            turn_to_least_dependence(self.model, self.trainer.datamodule)
            self._begin_anew()
        if begins and stage.gather:
            gather(self.model, self.trainer.datamodule)
            self._begin_anew()
        if begins and stage.revive:
            self.revive(self.dead_dims())
        self._stage = index

    def on_train_end(self) -> None:
        """Look at the last loss."""
        self._stop_if_not_finite()

    def dead_dims(self) -> list[int]:
        """Dimensions that say nothing of the validation rows, by the averaged weights if any."""
        return dimensions.dead_dims(*self._validation_latents(self.trainer.datamodule))

    def _validation_latents(self, data: Any) -> tuple[Tensor, Tensor | None]:
        rows = data.validation_rows
        with averaged(self.model, self.average):
            return dimensions.latents_of(self.model, rows, self.config.logvar_range)

    def revive(self, dims: list[int]) -> None:
        """Draw the weights of some dimensions anew; forget moments, average and memory."""
        dimensions.redraw(self.model, dims, self.config.seed + 1)
        self._begin_anew()

    def _begin_anew(self) -> None:
        for optimizer in self.trainer.optimizers:
            # Moments of the old weights would carry the new ones off.
            optimizer.state.clear()
        if self.average is not None:
            self.average.forget()
        self.penalties.forget()

    def finish(self, data: Any) -> None:
        """Turn `model` into what an ended run exports: averaged weights, dimensions closed, turned.

        `data` is the run's source of batches, set up.
        """
        if self.average is not None:
            take_average(self.model, self.average)
        if self.config.close_below > 0:
            _, kl = self._validation_latents(data)
            dimensions.close(self.model, dimensions.dims_below(kl, self.config.close_below))
        if self.config.rotate:
            turn_to_least_dependence(self.model, data)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """As the configuration names it; the rate is set every step from the stage's schedule."""
        name, arguments = self.config.optimizer.name, self.config.optimizer.arguments
        kind = getattr(torch.optim, name, None)
        if not (isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer)):
            raise ModelError(f"optimizer: no {name!r} in torch.optim; Adam, AdamW, SGD, ... are")
        if "fused" in signature(kind).parameters:
            arguments = {"fused": True} | arguments  # one kernel a step, not several a tensor
        try:
            return kind(self.model.parameters(), **{"lr": 1e-3} | arguments)
        except (TypeError, ValueError) as error:
            raise ModelError(f"optimizer: {name} does not take {arguments}: {error}") from None

    def configure_callbacks(self) -> list[Callback]:
        """What stops a run of this module before its time."""
        return [CollapseStop(self.config)]

    def configure_gradient_clipping(self, *_: Any, **__: Any) -> None:
        """Clip the gradient's norm where the configuration says so."""
        if self.config.clip_gradients is not None:
            # Lightning's own refuses fused optimizers in bfloat16.
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_gradients)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, and take the new weights into the average before any callback writes them down."""
        super().optimizer_step(*args, **kwargs)
        if self.average is not None:
            self.average.update_parameters(self.model)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remember the stage (a resumed run must not revive twice), the time and the recipe.

        ModelError if the last loss was not finite: such weights are not worth keeping.
        """
        self._stop_if_not_finite()
        checkpoint["stage"] = self._stage
        checkpoint["seconds"] = self.seconds
        checkpoint["threads"] = torch.get_num_threads()
        checkpoint["recipe"] = self.config.recipe

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the checkpoint's stage and time; ModelError if it is another configuration's."""
        if not continues(self.config, checkpoint["recipe"]):
            raise ModelError(
                "the checkpoint in this folder belongs to another configuration; put that one "
                "back, or train into another folder"
            )
        self._stage, self._seconds_before = checkpoint["stage"], checkpoint["seconds"]
