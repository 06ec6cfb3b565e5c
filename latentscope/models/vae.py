"""The spectrum autoencoder: strided convolutions to a few latents and mirrored ones back.

The published network (Sedaghat et al. 2021, MNRAS 501, 6026, section 3) and the compact ones that
latentscope trains are two settings of one `VAEConfig`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from latentscope.errors import ModelError
from latentscope.models.architecture import VAEConfig
from latentscope.models.shift import fit_shift, shift_lines
from latentscope.models.strided import activated

if TYPE_CHECKING:
    from pathlib import Path

    from latentscope.spectra.prepare import PrepareConfig

LOGVAR_RANGE = (-20.0, 10.0)
"""Log variances are held to this range before z is drawn: deviations from 4.5e-5 to 148."""


class SpectrumVAE(nn.Module):
    """Autoencoder of prepared spectra.

    The convolutions run as Conv2d with kernel (1, k) in channels_last memory, which CPUs do
    several times faster than Conv1d with the same result; rows stay two-dimensional outside. Under
    autocast the convolutions alone run in its type; the rest keeps the type of the rows.

    With `config.doppler`, latent 0 is taken out of the decoder (it enters the linear map and the
    perceptron as zero) and shifts the decoded lines, learned mean included, by
    `doppler_scale * z[:, 0]` pixels, positive toward longer wavelength. It is a shift by
    construction, and nothing else. The decoder knows velocities several times better than the
    convolutions read them, so `encode` takes what they say of latent 0 for a first guess and fits
    the shift of the decoded lines to the spectrum.

    Parameters
    ----------
    config : VAEConfig
        The architecture.
    prepare : PrepareConfig, optional
        How a spectrum becomes this model's row; it travels with the weights.
    info : dict, optional
        The rest of the model's config.json: name, description, beta, mad_threshold, paper, ...

    Attributes
    ----------
    folder : Path or None
        Where it was read from, with whatever lies beside its weights; None where it was not.

    Raises
    ------
    ModelError
        If `prepare` makes rows of another size than `config` takes.
    """

    extra_mean: Tensor

    def __init__(
        self,
        config: VAEConfig,
        prepare: PrepareConfig | None = None,
        info: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if prepare is not None and prepare.row_size != config.row_size:
            raise ModelError(
                f"the preparation makes rows of {prepare.row_size} values, the architecture takes "
                f"{config.row_size}; one of the two belongs to another model"
            )
        self.config, self.prepare, self.info = config, prepare, dict(info or {})
        self.folder: Path | None = None
        self.encoder = _encoder(config)
        self.mean = nn.Linear(config.flat + config.extra, config.latents)
        if config.variational:
            self.logvar = nn.Linear(config.flat + config.extra, config.latents)
        if config.hidden:
            self.perceptron = _perceptron(config)
        self.expand = nn.Linear(config.hidden or config.latents, config.flat)
        self.decoder = _decoder(config)
        if config.output == "conv":
            self.final = nn.Conv2d(1, 1, (1, 3), padding=(0, 1))
        else:
            self.line_mean = nn.Parameter(torch.zeros(config.length))
        if config.doppler:
            self.doppler_scale = nn.Parameter(torch.tensor(float(config.doppler_init)))
        if config.extra:
            self.register_buffer("extra_mean", torch.zeros(config.extra))
            self.extra_decoder = nn.Sequential(
                nn.Linear(config.latents, config.extra_hidden),
                nn.LeakyReLU(config.negative_slope),
                nn.Linear(config.extra_hidden, config.extra),
            )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def encode(self, rows: Tensor, *, fit: bool = True) -> tuple[Tensor, Tensor | None]:
        """Return mean and log variance of q(z|x).

        Parameters
        ----------
        rows : Tensor of shape (n, row_size)
            Prepared spectra.
        fit : bool
            Of a Doppler model: fit latent 0, which costs a decoder's pass. False: what the
            convolutions say.

        Returns
        -------
        mean : Tensor of shape (n, latents)
        logvar : Tensor of shape (n, latents), or None for a deterministic model
            Natural logarithm of the variance, as the network gives it (not clamped).

        Raises
        ------
        ModelError
            If the rows have another size.
        """
        config = self.config
        _check_shape("rows", rows, config.row_size)
        features = self._down(rows[:, : config.length]).to(rows.dtype)
        with _full_precision(rows):
            if config.extra:
                features = torch.cat([features, rows[:, config.length :] - self.extra_mean], dim=1)
            mean, logvar = self.mean(features), None
            if config.variational:
                logvar = self.logvar(features)
        return (self._fitted(rows, mean) if config.doppler and fit else mean), logvar

    def _fitted(self, rows: Tensor, mean: Tensor) -> Tensor:
        """Latents (n, d) with another latent 0: where the decoded lines lie in the rows."""
        scale = self.doppler_scale
        lines, _ = self._at_rest(mean)
        with _full_precision(rows):
            wanted = rows[:, : self.config.length]
            pixels = fit_shift(lines, wanted, scale * mean[:, 0], scale**-2)
            # A closed latent 0 has a scale of 0, and shifts nothing.
            first = torch.where(scale == 0, mean[:, 0], pixels / scale)
            return torch.cat([first[:, None], mean[:, 1:]], dim=1)

    def decode(self, z: Tensor) -> Tensor:
        """Return the rows that latents stand for.

        Parameters
        ----------
        z : Tensor of shape (n, latents)

        Returns
        -------
        Tensor of shape (n, row_size)

        Raises
        ------
        ModelError
            If there are more or fewer latents than the model has.
        """
        config = self.config
        _check_shape("latents", z, config.latents)
        lines, content = self._at_rest(z)
        with _full_precision(z):
            if config.doppler:
                lines = shift_lines(lines, self.doppler_scale * z[:, 0])
            if not config.extra:
                return lines
            return torch.cat([lines, self.extra_decoder(content) + self.extra_mean], dim=1)

    def _at_rest(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Lines (n, length) before any shift, and the latents (n, d) that draw them."""
        config, content = self.config, z
        if config.doppler:
            content = torch.cat([torch.zeros_like(z[:, :1]), z[:, 1:]], dim=1)
        with _full_precision(z):
            hidden = self.expand(self.perceptron(content) if config.hidden else content)
        lines = self._up(hidden).to(z.dtype)
        with _full_precision(z):
            return (lines + self.line_mean if config.output == "mean" else lines), content

    def _down(self, rows: Tensor) -> Tensor:
        """Rows (n, length) through the encoder's convolutions: (n, flat)."""
        hidden = rows[:, None, None]  # (n, 1, 1, length)
        for layer in self.encoder:
            hidden = activated(layer, hidden, self.config.negative_slope)
        return hidden.flatten(1)

    def _up(self, hidden: Tensor) -> Tensor:
        """Values (n, flat) through the decoder's convolutions: (n, length)."""
        config = self.config
        hidden = hidden.view(-1, config.channels[-1], 1, config.width)
        hidden = hidden.contiguous(memory_format=torch.channels_last)
        for layer in self.decoder[:-1]:
            hidden = activated(layer, hidden, config.negative_slope)
        if config.output == "mean":
            return activated(self.decoder[-1], hidden, None).flatten(1)
        hidden = activated(self.decoder[-1], hidden, config.negative_slope)
        return _three_taps(hidden.flatten(1).to(self.final.weight.dtype), self.final)

    @property
    def readers(self) -> list[nn.Module]:
        """The linear layers that read the latents (latent 0 of a Doppler layer apart)."""
        first = self.perceptron[0] if self.config.hidden else self.expand
        return [first, self.extra_decoder[0]] if self.config.extra else [first]

    def reconstruct(self, rows: Tensor) -> Tensor:
        """Return rows of shape (n, row_size) decoded from the mean latents of `rows`."""
        return self.decode(self.encode(rows)[0])

    def forward(
        self, rows: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Encode, draw z (in training mode of a variational model; else the mean), decode.

        Parameters
        ----------
        rows : Tensor of shape (n, row_size)
        generator : torch.Generator, optional
            Source of the draw; by default torch's global one.

        Returns
        -------
        rows : Tensor of shape (n, row_size)
            The reconstruction.
        mean : Tensor of shape (n, latents)
        logvar : Tensor of shape (n, latents) or None
            Clamped to `LOGVAR_RANGE`.
        """
        mean, logvar = self.encode(rows, fit=not self.training)
        if logvar is None:
            return self.decode(mean), mean, None
        logvar = logvar.clamp(*LOGVAR_RANGE)
        if not self.training:
            return self.decode(mean), mean, logvar
        noise = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)
        return self.decode(mean + noise * torch.exp(0.5 * logvar)), mean, logvar


def _full_precision(like: Tensor) -> torch.autocast:
    """No autocast: latents, the shift and the learned mean need more digits than bfloat16 has."""
    return torch.autocast(like.device.type, enabled=False)


def _three_taps(rows: Tensor, layer: nn.Conv2d) -> Tensor:
    """Apply a 1-1 convolution of kernel 3 to rows (n, length): 20 times faster written out."""
    left, middle, right = layer.weight.view(3)
    padded = functional.pad(rows, (1, 1))
    mixed: Tensor = left * padded[:, :-2] + middle * rows + right * padded[:, 2:]
    return mixed if layer.bias is None else mixed + layer.bias


def _perceptron(config: VAEConfig) -> nn.Sequential:
    slope, width = config.negative_slope, config.hidden
    first, second = nn.Linear(config.latents, width), nn.Linear(width, width)
    return nn.Sequential(first, nn.LeakyReLU(slope), second, nn.LeakyReLU(slope))


def _encoder(config: VAEConfig) -> nn.ModuleList:
    sources = (1, *config.channels[:-1])
    return nn.ModuleList(
        nn.Conv2d(source, target, (1, k), (1, s), (0, (k - 1) // 2))
        for source, target, k, s in zip(
            sources, config.channels, config.kernels, config.strides, strict=True
        )
    )


def _decoder(config: VAEConfig) -> nn.ModuleList:
    targets = (1, *config.channels[:-1])
    layers = []
    for source, target, s in zip(config.channels, targets, config.strides, strict=True):
        kernel, padding = (3, 1) if s == 1 else (2 * s, s // 2)
        layers.append(nn.ConvTranspose2d(source, target, (1, kernel), (1, s), (0, padding)))
    return nn.ModuleList(reversed(layers))


def _check_shape(what: str, array: Tensor, wanted: int) -> None:
    if array.ndim != 2 or array.shape[1] != wanted:
        raise ModelError(f"{what} have shape {tuple(array.shape)}; this model takes (n, {wanted})")
