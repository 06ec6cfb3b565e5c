"""The architecture of a spectrum autoencoder as numbers, apart from torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import prod
from typing import Any, Literal, get_args

from latentscope.errors import ModelError

Output = Literal["conv", "mean"]


@dataclass(frozen=True)
class VAEConfig:
    """Architecture of a `SpectrumVAE`.

    Parameters
    ----------
    length : int
        Values of the row that go through the convolutions; a multiple of the product of strides.
    channels, kernels, strides : tuple of int
        One entry per encoder convolution. Kernels are odd; strides are 1 or even, since the
        decoder mirrors a stride s by a transposed convolution of kernel 2s and padding s/2
        (stride 1: kernel 3, padding 1).
    latents : int
        Dimensions of the latent space.
    extra : int
        Trailing values of the row (log continuum at nodes) that bypass the convolutions.
    extra_hidden : int
        Hidden width of the perceptron that decodes them.
    hidden : int
        Width of a perceptron of two layers between the latents and the decoder's linear map, by
        which a pixel can follow a latent along a curve; 0: none.
    variational : bool
        False: a plain autoencoder, with no log variance.
    negative_slope : float
        Slope of the LeakyReLU after each convolution.
    output : {"conv", "mean"}
        "conv": the published end, an activation after the last transposed convolution and a 1-1
        convolution of kernel 3. "mean": neither, but a learned mean per pixel is added.
    doppler : bool
        Latent 0 shifts the decoded lines and does nothing else.
    doppler_init : float
        Pixels per unit of latent 0 before training (the value is learned).

    Raises
    ------
    ModelError
        If the numbers do not make a network.
    """

    length: int
    channels: tuple[int, ...]
    kernels: tuple[int, ...]
    strides: tuple[int, ...]
    latents: int
    extra: int = 0
    extra_hidden: int = 64
    hidden: int = 0
    variational: bool = True
    negative_slope: float = 0.1
    output: Output = "conv"
    doppler: bool = False
    doppler_init: float = 3.0

    def __post_init__(self) -> None:
        for name in ("channels", "kernels", "strides"):
            object.__setattr__(self, name, tuple(int(value) for value in getattr(self, name)))
        for wrong in self._faults():
            raise ModelError(f"this is no architecture: {wrong}")

    def _faults(self) -> list[str]:
        depth = len(self.channels)
        even = [s for s in self.strides if s < 1 or (s > 1 and s % 2)]
        checks = [
            (
                depth == 0 or depth != len(self.kernels) or depth != len(self.strides),
                f"{depth} channels, {len(self.kernels)} kernels, {len(self.strides)} strides; "
                "wanted as many of each, at least one",
            ),
            (
                any(k < 1 or k % 2 == 0 for k in self.kernels),
                f"kernels {self.kernels}; wanted odd ones",
            ),
            (bool(even), f"strides {self.strides}; wanted 1 or even ones"),
            (
                min((self.latents, self.length, *self.channels), default=0) < 1
                or min(self.extra, self.hidden) < 0,
                f"length {self.length}, channels {self.channels}, latents {self.latents}, extra "
                f"{self.extra}, hidden {self.hidden}; wanted positive numbers (these two: or 0)",
            ),
            (
                not even and self.length % prod(self.strides) != 0,
                f"length {self.length} is no multiple of {prod(self.strides)}, the product of "
                "the strides",
            ),
            (
                self.output not in get_args(Output),
                f"output {self.output!r}; wanted one of {', '.join(get_args(Output))}",
            ),
        ]
        return [message for failed, message in checks if failed]

    @property
    def row_size(self) -> int:
        """Values in one row: `length` + `extra`."""
        return self.length + self.extra

    @property
    def width(self) -> int:
        """Pixels left after the last encoder convolution."""
        return self.length // prod(self.strides)

    @property
    def flat(self) -> int:
        """Values of the flattened (channel-major) convolution output."""
        return self.channels[-1] * self.width

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON types."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> VAEConfig:
        """Build a config from `to_dict` output; unknown or missing keys raise `ModelError`."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(settings) - known)
        if unknown:
            raise ModelError(
                f"architecture has unknown keys {', '.join(unknown)}; known: "
                f"{', '.join(sorted(known))}"
            )
        missing = [
            k for k in ("length", "channels", "kernels", "strides", "latents") if k not in settings
        ]
        if missing:
            raise ModelError(f"architecture lacks {', '.join(missing)}")
        return cls(**settings)
