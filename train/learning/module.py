"""The training step: reconstruction with a blurred residual, KL term, schedules, revival."""

from __future__ import annotations

import time
from typing import Any

import lightning
import torch
from torch import Tensor

from latentscope.errors import ModelError
from latentscope.model.vae import SpectrumVAE
from train.settings.run import TrainConfig

DEAD = 0.1
"""Nats: a dimension with less KL than this on the validation rows counts as dead."""


def blurred(residual: Tensor, sigma: float) -> Tensor:
    """Residual of shape (n, length) smoothed by a Gaussian of `sigma` pixels (0: unchanged)."""
    if sigma <= 0.05:
        return residual
    length = residual.shape[1]
    frequency = torch.fft.rfftfreq(length, device=residual.device)
    transfer = torch.exp(-2 * (torch.pi * sigma * frequency) ** 2)
    smooth: Tensor = torch.fft.irfft(torch.fft.rfft(residual) * transfer, n=length)
    return smooth


def kl_per_dim(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL of q(z|x) from the unit Gaussian in nats, shape (n, latents) (Kingma & Welling 2014)."""
    return 0.5 * (mean**2 + logvar.exp() - 1 - logvar)


class SpectrumModule(lightning.LightningModule):
    """A `SpectrumVAE` in training.

    The loss of a spectrum is half the sum of squared residuals of the line contrast (blurred),
    plus `continuum_weight` times the same for the log continuum, plus `beta` times the KL in nats;
    the mean over the batch is minimised (Higgins et al. 2017; Sedaghat et al. 2021, eq. 2).

    Parameters
    ----------
    model : SpectrumVAE
    config : TrainConfig
    """

    def __init__(self, model: SpectrumVAE, config: TrainConfig) -> None:
        super().__init__()
        self.model, self.config = model, config
        if model.prepare is None:
            raise ValueError("a model to train needs its preparation")
        valid = torch.ones(model.config.length)
        grid = model.prepare.grid
        if model.prepare.normalization == "continuum":
            valid[: grid.length] = torch.from_numpy((~grid.gap_mask).astype("f4"))
        self.register_buffer("valid", valid, persistent=False)
        self._stage = 0
        self._begun = time.monotonic()
        self._seconds_before = 0.0

    @property
    def seconds(self) -> float:
        """Wall time of the run so far, its interrupted parts included."""
        return self._seconds_before + time.monotonic() - self._begun

    def terms(
        self,
        rows: Tensor,
        blur: float = 0.0,
        seed: int | None = None,
        valid: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Loss terms of a batch, shape (n,) each, and `kl` of shape (n, latents).

        `seed` seeds the draw of z in training mode. `valid`, of bool and the shape of `rows`, says
        which pixels of each row count.
        """
        generator = None if seed is None else torch.Generator(rows.device).manual_seed(seed)
        decoded, mean, logvar = self.model(rows, generator)
        length = self.model.config.length
        residual = decoded - rows if valid is None else (decoded - rows) * valid
        lines = blurred(residual[:, :length] * self.valid, blur)
        continuum = residual[:, length:]
        kl = torch.zeros_like(mean) if logvar is None else kl_per_dim(mean, logvar)
        return {
            "lines": 0.5 * (lines**2).sum(1),
            "continuum": 0.5 * (continuum**2).sum(1),
            "kl": kl,
            "mean": mean,
        }

    def training_step(self, batch: Tensor | list[Tensor], batch_idx: int) -> Tensor:
        """One step on rows, or rows and masks.

        Every random draw follows from the run's seed and the step number.
        """
        rows, valid = (batch, None) if isinstance(batch, Tensor) else batch
        step = self.global_step
        _, stage, fraction = self.config.stage_at(step)
        seed = self.config.seed * 10_000_019 + step
        terms = self.terms(rows.float(), stage.blur.at(fraction), seed, valid)
        loss = (
            terms["lines"]
            + stage.continuum_weight.at(fraction) * terms["continuum"]
            + stage.beta.at(fraction) * terms["kl"].sum(1)
        ).mean()
        if not torch.isfinite(loss):
            raise RuntimeError(f"the loss is {loss.item()} at step {step}; lower the learning rate")
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = stage.learning_rate.at(fraction)
        self.log_dict(
            {
                "loss": loss,
                "lines": terms["lines"].mean(),
                "continuum": terms["continuum"].mean(),
                "kl": terms["kl"].sum(1).mean(),
                "beta": stage.beta.at(fraction),
                "blur": stage.blur.at(fraction),
                "learning_rate": stage.learning_rate.at(fraction),
            }
        )
        return loss

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Revive dead dimensions when a stage that asks for it begins."""
        index, stage, fraction = self.config.stage_at(self.global_step)
        if stage.revive and fraction == 0.0 and self._stage != index:
            self.revive(self.dims_below(DEAD))
        self._stage = index

    def dims_below(self, nats: float) -> list[int]:
        """Dimensions with a mean KL below `nats` on the validation rows."""
        rows = torch.from_numpy(self.trainer.datamodule.validation_rows[:256].astype("f4"))  # type: ignore[attr-defined]
        self.model.eval()
        with torch.no_grad():
            kl = self.terms(rows.to(self.device))["kl"].mean(0)
        self.model.train()
        return [int(dim) for dim in torch.nonzero(kl < nats)]

    def revive(self, dims: list[int]) -> None:
        """Draw the encoder and decoder weights of some dimensions anew; forget Adam's moments."""
        generator = torch.Generator().manual_seed(self.config.seed + 1)
        into, out_of = self._layers_of_z()
        with torch.no_grad():
            for layer in into:
                bound = layer.in_features**-0.5
                for dim in dims:
                    layer.weight[dim].uniform_(-bound, bound, generator=generator)
                    layer.bias[dim] = 0.0
            for layer in out_of:
                bound = layer.in_features**-0.5
                for dim in dims:
                    layer.weight[:, dim].uniform_(-bound, bound, generator=generator)
        for optimizer in self.trainer.optimizers:
            optimizer.state.clear()

    def close(self, dims: list[int]) -> None:
        """Set q(z|x) of some dimensions to the unit Gaussian and let the decoder ignore them."""
        into, out_of = self._layers_of_z()
        with torch.no_grad():
            for layer in into:
                layer.weight[dims] = 0.0
                layer.bias[dims] = 0.0
            for layer in out_of:
                layer.weight[:, dims] = 0.0

    def _layers_of_z(self) -> tuple[list[Any], list[Any]]:
        """Linear layers that write the latents, and those that read them."""
        model = self.model
        into = [model.mean, model.logvar] if model.config.variational else [model.mean]
        out_of = [model.expand] + ([model.extra_decoder[0]] if model.config.extra else [])
        return into, out_of

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam; its learning rate is set every step from the stage's schedule."""
        return torch.optim.Adam(self.parameters(), lr=1e-3)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remember the stage (a resumed run must not revive twice), the time and the recipe."""
        checkpoint["stage"] = self._stage
        checkpoint["seconds"] = self.seconds
        checkpoint["recipe"] = self.config.recipe

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the checkpoint's stage and time.

        Raises
        ------
        ModelError
            If the checkpoint belongs to another configuration.
        """
        if checkpoint["recipe"] != self.config.recipe:
            raise ModelError(
                "the checkpoint in this folder belongs to another configuration; put that one "
                "back, or train into another folder"
            )
        self._stage, self._seconds_before = checkpoint["stage"], checkpoint["seconds"]
