"""What one training step gets."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """Spectra of one step, on one device.

    Attributes
    ----------
    rows : Tensor of shape (n, row_size)
        Prepared spectra, float16 or float32.
    numbers : Tensor of int64, shape (n,)
        Which spectra they are; the data module's `names(numbers)` says them in words.
    valid : Tensor of bool, shape (n, row_size), or None
        Pixels that count; None: all.
    ivar : Tensor of shape (n, length), or None
        Inverse variance of the first `length` values of each row; None: not known.
    """

    rows: Tensor
    numbers: Tensor
    valid: Tensor | None = None
    ivar: Tensor | None = None


def changed(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    """Return a batch with every tensor that it has changed."""
    valid, ivar = (None if values is None else change(values) for values in batch[2:])
    return Batch(change(batch.rows), change(batch.numbers), valid, ivar)


def joined(parts: list[Batch]) -> Batch:
    """Join batches on one device, one after the other.

    Where some have masks, the others' pixels all count. Inverse variances are kept if all have
    them.
    """
    if len(parts) == 1:
        return parts[0]
    masked = any(part.valid is not None for part in parts)
    valid = [
        torch.ones_like(p.rows, dtype=torch.bool) if p.valid is None else p.valid for p in parts
    ]
    ivar = [part.ivar for part in parts if part.ivar is not None]
    return Batch(
        torch.cat([part.rows for part in parts]),
        torch.cat([part.numbers for part in parts]),
        torch.cat(valid) if masked else None,
        torch.cat(ivar) if len(ivar) == len(parts) else None,
    )
