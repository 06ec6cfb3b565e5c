"""Moving average of the weights: quieter than the weights of any one step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from latentscope.models.network import SpectrumVAE


def average_of(model: SpectrumVAE, decay: float) -> AveragedModel:
    """Return an exponential moving average of a model's weights, which begins at its first update.

    Each update leaves ``decay`` of the average and adds ``1 - decay`` of the weights. It is a
    module like others: a checkpoint holds it.
    """
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))
    average.requires_grad_(False)
    return average


@contextmanager
def averaged(model: SpectrumVAE, average: AveragedModel | None) -> Iterator[None]:
    """Let a model have the averaged weights for a while, and its own again afterwards."""
    begun = average is not None and int(average.n_averaged) > 0
    if average is None or not begun:
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
    average.n_averaged.zero_()


def _exchange(model: SpectrumVAE, average: AveragedModel) -> None:
    pairs = zip(model.parameters(), average.module.parameters(), strict=True)
    for one, other in pairs:
        one.data, other.data = other.data, one.data
