"""Prepared rows through a network in batches that fit its memory."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentscope.errors import ModelError
from latentscope.models.vae import SpectrumVAE

# Batches larger than this many values leave a CPU's caches: the published network takes 13 ms a
# spectrum at 2 of them, 22 ms at 8.
_CPU_VALUES = 655_360
_LARGEST = 32

SEGMENTS = 32
"""Equal parts of a row, each with an error of its own, by which odd spectra are found."""


class Encoded(NamedTuple):
    """What a network makes of n rows.

    Parameters
    ----------
    mean : ndarray of float32, shape (n, d)
    logvar : ndarray of float32, shape (n, d)
        NaN for a deterministic model.
    recon_error : ndarray of float32, shape (n,)
        Root mean square of reconstruction minus row over the valid pixels (not the continuum
        nodes); NaN if not asked for.
    segments : ndarray of float32, shape (n, 32)
        The same over 32 equal parts of the pixels; NaN where fewer than half of a part is valid.
    """

    mean: NDArray[np.float32]
    logvar: NDArray[np.float32]
    recon_error: NDArray[np.float32]
    segments: NDArray[np.float32]

    @classmethod
    def blank(cls, n: int, d: int) -> Encoded:
        """Arrays of NaN, to be filled."""
        shapes = ((n, d), (n, d), (n,), (n, SEGMENTS))
        return cls(*(np.full(shape, np.nan, dtype=np.float32) for shape in shapes))


class Network:
    """A model on a device, with the batch size it can take.

    Parameters
    ----------
    model : SpectrumVAE
        Is not changed; copied where it has to be moved.
    device : str
        "auto" (CUDA or Apple's MPS where there is one, else the CPU) or a torch device.
    batch_size : int or "auto"
        "auto" starts from a size that suits the device and halves it whenever memory runs out.
    recon_error : bool
        Whether to decode too, and measure the reconstruction.

    Raises
    ------
    ModelError
        If the device or the batch size cannot be used.
    """

    def __init__(
        self, model: SpectrumVAE, device: str, batch_size: int | str, recon_error: bool
    ) -> None:
        self.device = _device(device)
        current = next(model.parameters()).device
        self._model = model if current == self.device else moved(copy.deepcopy(model), self.device)
        self._adapts = batch_size == "auto"
        self._recon_error = recon_error
        self._lock = threading.Lock()
        self.batch_size = self._start_size() if batch_size == "auto" else _checked_size(batch_size)

    @property
    def on_cpu(self) -> bool:
        """Whether the network runs on the CPU, beside the reading."""
        return self.device.type == "cpu"

    def encode(self, rows: NDArray[np.float32], valid: NDArray[np.bool_]) -> Encoded:
        """Latents of prepared rows.

        Parameters
        ----------
        rows : ndarray of float32, shape (n, row_size)
        valid : ndarray of bool, shape (n, row_size)

        Returns
        -------
        Encoded

        Raises
        ------
        ModelError
            If memory runs out at a batch of one, or of the size that was asked for.
        """
        n = len(rows)
        out = Encoded.blank(n, self._model.config.latents)
        start = 0
        while start < n:
            size = self.batch_size
            some = slice(start, start + size)
            try:
                found = self._pass(rows[some], valid[some])
            except RuntimeError as trouble:
                if not _out_of_memory(trouble):
                    raise
                self._shrink(min(size, n - start), trouble)
                continue
            for whole, part in zip(out, found, strict=True):
                whole[some] = part
            start += size
        return out

    def _pass(self, rows: NDArray[np.float32], valid: NDArray[np.bool_]) -> Encoded:
        length = self._model.config.length
        with torch.inference_mode(), _full_precision(self.device):
            batch = torch.from_numpy(rows).to(self.device)
            mean, logvar = self._model.encode(batch)
            if logvar is None:
                logvar = torch.full_like(mean, torch.nan)
            error = torch.full((len(rows),), torch.nan)
            segments = torch.full((len(rows), SEGMENTS), torch.nan)
            if self._recon_error:
                residual = self._model.decode(mean)[:, :length] - batch[:, :length]
                inside = torch.from_numpy(valid[:, :length]).to(self.device)
                error, segments = _errors(torch.where(inside, residual.square(), 0.0), inside)
            parts = (mean, logvar, error, segments)
            return Encoded(*(part.cpu().numpy() for part in parts))

    def _start_size(self) -> int:
        if not self.on_cpu:
            return _LARGEST
        return min(max(_CPU_VALUES // self._model.config.row_size, 1), _LARGEST)

    def _shrink(self, tried: int, trouble: RuntimeError) -> None:
        if tried == 1 or not self._adapts:
            raise ModelError(
                f"out of memory on {self.device} at {tried} spectra at once; "
                + (
                    "use another device"
                    if tried == 1
                    else "use batch size 'auto', or a smaller one"
                )
            ) from trouble
        with self._lock:
            self.batch_size = min(self.batch_size, tried // 2)


@contextmanager
def single_threads() -> Iterator[None]:
    """Give each new thread one torch thread of its own, and put the old number back afterwards.

    Workers that read, prepare and encode side by side fill the cores by themselves; torch's own
    threads on top would wait for one another. The calling thread keeps its number throughout.
    """
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _errors(square: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """Root mean square over valid pixels, of rows (n,) and of their parts (n, 32)."""
    pairs = zip(square.tensor_split(SEGMENTS, 1), inside.tensor_split(SEGMENTS, 1), strict=True)
    sums = [(some.sum(dim=1), good.sum(dim=1), good.shape[1]) for some, good in pairs]
    totals = torch.stack([total for total, _, _ in sums], dim=1)
    counts = torch.stack([count for _, count, _ in sums], dim=1)
    sizes = torch.tensor([size for _, _, size in sums], device=square.device)
    known = (2 * counts >= sizes) & (counts > 0)
    segments = torch.where(known, (totals / counts.clamp(min=1)).sqrt(), torch.nan)
    return (totals.sum(dim=1) / counts.sum(dim=1)).sqrt(), segments


def _device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        return torch.device(name)
    except RuntimeError:
        raise ModelError(f"device is {name!r}; wanted auto, cpu, cuda, cuda:1 or mps") from None


def moved(model: SpectrumVAE, device: str | torch.device) -> SpectrumVAE:
    """Move the model itself to a device.

    Raises
    ------
    ModelError
        If torch knows no such device, or it is not there.
    """
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(
            f"device {str(device)!r} cannot be used here: {str(error).splitlines()[0]}"
        ) from error


def _checked_size(batch_size: int | str) -> int:
    if isinstance(batch_size, str) or batch_size < 1:
        raise ModelError(f"batch size is {batch_size!r}; wanted 'auto' or a positive whole number")
    return int(batch_size)


def _out_of_memory(error: RuntimeError) -> bool:
    text = str(error).lower()
    return (
        isinstance(error, torch.cuda.OutOfMemoryError)
        or "out of memory" in text
        or "can't allocate memory" in text
    )


@contextmanager
def _full_precision(device: torch.device) -> Iterator[None]:
    """Convolve in float32 on CUDA, not in TF32, so that devices agree."""
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield
