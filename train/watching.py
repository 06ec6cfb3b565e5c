"""What a run shows while it goes: figures and pictures of its validation rows."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from latentscope.errors import TableError
from latentscope.files import atomic_path
from latentscope.models.network import SpectrumVAE
from latentscope.plots.style import ALONG, OVERLAY, QUIET, STRONG
from latentscope.spectra.prepare import PrepareConfig, restore
from train.data.batches import Data
from train.learning.module import SpectrumModule
from train.validation import Validation, dims_table, evaluated, figures, validate


class StepTable:
    """A CSV file whose rows belong to steps of a run; made when the first rows come."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def cut(self, step: int) -> None:
        """Drop the rows of `step` and later ones, and a line that was not written to its end.

        TableError if the file does not have steps in its first column.
        """
        if not self.path.exists():
            return
        header, *lines = self.path.read_text("utf-8").splitlines(keepends=True) or [""]
        if not header.startswith("step,"):
            raise TableError(
                f"{self.path}: begins with {header[:40]!r}; expected a table that this run wrote, "
                "with `step` first; move the file away"
            )
        kept = [line for line in lines if line.endswith("\n") and int(line.split(",")[0]) < step]
        if len(kept) < len(lines):
            with atomic_path(self.path) as temporary:
                temporary.write_text("".join([header, *kept]), "utf-8")

    def add(self, rows: pd.DataFrame) -> None:
        """Append rows, `step` their first column; the file takes up columns it did not have."""
        if not self.path.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            rows.to_csv(self.path, index=False)
            return
        with self.path.open(encoding="utf-8") as file:
            columns = pd.read_csv(file, nrows=0).columns
        if columns.equals(rows.columns):
            with self.path.open("a", encoding="utf-8", newline="") as file:
                file.write(rows.to_csv(index=False, header=False))
            return
        whole = pd.concat([pd.read_csv(self.path), rows])
        with atomic_path(self.path) as temporary:
            whole.to_csv(temporary, index=False)


class MetricsTable(Logger):
    """What the training step logs, as `metrics.csv`: one line per step, counted from 0.

    Lightning's own CSV logger deletes what a run wrote before it was interrupted.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.table = StepTable(folder / "metrics.csv")

    @property
    def name(self) -> str:
        """Not used: the folder is the run's."""
        return ""

    @property
    def version(self) -> str:
        """Not used: a run that is taken up is the same run."""
        return ""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Append a line."""
        row = {"step": int(step or 0)} | {key: float(value) for key, value in metrics.items()}
        self.table.add(pd.DataFrame([row]))

    def log_hyperparams(
        self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any
    ) -> None:
        """Write nothing: the run's configuration is in its checkpoint and in its model."""


def loggers(folder: Path) -> list[Logger]:
    """Return the loggers of a run: TensorBoard events and `metrics.csv`, both in `folder/log`.

    `tensorboard --logdir FOLDER` shows the first; both continue after an interruption.
    """
    board = TensorBoardLogger(folder, name="", version="log", default_hp_metric=False)
    return [MetricsTable(folder / "log"), board]


def forget_from(loggers: Iterable[Logger], step: int) -> None:
    """Drop what was logged of `step` (counted from 0) and later ones, by a run that was killed."""
    for logger in loggers:
        if isinstance(logger, MetricsTable):
            logger.table.cut(step)
        elif isinstance(logger, TensorBoardLogger):
            _restart(logger, step)


def _restart(logger: TensorBoardLogger, step: int) -> None:
    """Tell TensorBoard that a new session starts at `step`: older events from there on are void."""
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog

    start = SessionLog(status=SessionLog.START)
    writer = logger.experiment.file_writer
    writer.add_event(Event(step=step, file_version="brain.Event:2"))
    writer.add_event(Event(step=step, session_log=start))


MAX_DIMS = 6
QUANTILES = (0.02, 0.25, 0.5, 0.75, 0.98)

_SPECTRA = 3
_POINTS = 1500
"""Points that a whole spectrum is averaged down to; more are not seen."""

_AVERAGED = 200
"""Rows whose mean shows where spectra have most structure."""

_LEAST_ZOOM = 64

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Scene:
    """The validation spectra that are drawn, and where one looks closer."""

    prepare: PrepareConfig
    rows: NDArray[np.float32]  # (k, row_size)
    valid: NDArray[np.bool_]  # (k, grid.length): pixels that a spectrum fills
    zoom: slice  # pixels of the grid

    def flux(self, rows: Floats) -> Floats:
        """Normalized flux of rows (n, row_size) on the grid, NaN in its gaps."""
        return np.where(self.prepare.grid.gap_mask, np.nan, restore(rows, self.prepare))


def scene(prepare: PrepareConfig, data: Data) -> Scene:
    """Choose the spectra to draw, evenly among the validation rows, and the pixels to zoom in on.

    The zoom is a two-hundredth of the grid, where the mean spectrum has most structure.
    """
    rows = data.validation_rows
    chosen = np.unique(np.linspace(0, len(rows) - 1, _SPECTRA).round().astype(int))
    grid = prepare.grid
    valid = np.ones((len(chosen), grid.length), np.bool_)
    if data.validation_valid is not None:
        valid = data.validation_valid[chosen][:, prepare.science]
    mean = restore(rows[:_AVERAGED].mean(0, dtype=np.float64), prepare)
    zoom = _structured(np.where(grid.gap_mask, np.nan, mean), max(_LEAST_ZOOM, grid.length // 200))
    return Scene(prepare, rows[chosen].astype(np.float32), valid, zoom)


def draw_reconstructions(model: SpectrumVAE, what: Scene, title: str) -> Figure:
    """Draw data, reconstruction and residual of a few spectra, whole (averaged) and zoomed."""
    decoded = _decoded(model, model.encode(_tensor(model, what.rows))[0])
    data = np.where(what.valid, what.flux(what.rows), np.nan)
    found = np.where(what.valid, what.flux(decoded), np.nan)
    figure, axes = _figure(len(data), title)
    for place, (left, right) in enumerate(axes):
        parts = (("data", QUIET, data[place]), ("reconstruction", STRONG, found[place]))
        for name, color, flux in (*parts, ("residual", OVERLAY, data[place] - found[place])):
            _whole(left, what, flux, color, name)
            _zoomed(right, what, flux, color)
        left.set_ylabel("normalized flux", fontsize=8)
    _legend(figure, axes[0][0])
    return figure


def draw_traversal(model: SpectrumVAE, what: Scene, seen: Validation, title: str) -> Figure | None:
    """Draw what the informative dimensions do, strongest first; None where there are none.

    Each dimension is moved through quantiles of its values on the validation rows, the others stay
    at their medians. Left the change of the whole spectrum (averaged) against the dimension's
    median, right the spectrum, zoomed.
    """
    dims = seen.informative[:MAX_DIMS]
    if not dims:
        return None
    median = np.median(seen.mean, 0)
    latents = np.repeat(median[None], len(dims) * len(QUANTILES), 0)
    for place, dim in enumerate(dims):
        block = slice(place * len(QUANTILES), (place + 1) * len(QUANTILES))
        latents[block, dim] = np.quantile(seen.mean[:, dim], QUANTILES)
    flux = what.flux(_decoded(model, _tensor(model, latents)))
    colors = ALONG(np.linspace(0, 1, len(QUANTILES)))
    figure, axes = _figure(len(dims), title)
    for place, (dim, (left, right)) in enumerate(zip(dims, axes, strict=True)):
        moved = flux[place * len(QUANTILES) :][: len(QUANTILES)]
        for curve, color, quantile in zip(moved, colors, QUANTILES, strict=True):
            _whole(left, what, curve - moved[len(QUANTILES) // 2], color, f"{quantile:.0%}")
            _zoomed(right, what, curve, color)
        left.set_ylabel(f"dim {dim}, change", fontsize=8)
        left.set_title(f"KL {seen.kl[dim]:.2f}, MAD {seen.mad[dim]:.2f}", fontsize=8, loc="left")
    figure.align_ylabels(axes[:, 0])
    _legend(figure, axes[0][0])
    return figure


def _figure(rows: int, title: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=(11, 0.7 + 1.5 * rows), dpi=90)
    axes = figure.subplots(rows, 2, squeeze=False, gridspec_kw={"width_ratios": (3, 2)})
    height = figure.get_figheight()
    figure.subplots_adjust(
        left=0.07, right=0.99, bottom=0.42 / height, top=1 - 0.45 / height, hspace=0.38, wspace=0.12
    )
    figure.suptitle(title, fontsize=10, x=0.07, ha="left", y=1 - 0.1 / height)
    for axis in axes.flat:
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(x=0.005)
    for axis in axes[-1]:
        axis.set_xlabel("wavelength (Å)", fontsize=8)
    for axis in axes[:, 1]:
        axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    return figure, axes


def _legend(figure: Figure, axis: Axes) -> None:
    """Name the curves above the panels, where no curve is."""
    handles, names = axis.get_legend_handles_labels()
    figure.legend(handles, names, ncols=len(names), fontsize=8, frameon=False, loc="upper right")


def _whole(axis: Axes, what: Scene, flux: Floats, color: Any, name: str) -> None:
    grid = what.prepare.grid
    size = -(-grid.length // _POINTS)
    axis.plot(
        _binned(grid.wavelength, size), _binned(flux, size), color=color, linewidth=0.8, label=name
    )


def _zoomed(axis: Axes, what: Scene, flux: Floats, color: Any) -> None:
    wavelength = what.prepare.grid.wavelength
    axis.plot(wavelength[what.zoom], flux[what.zoom], color=color, linewidth=1.0)


def _binned(values: Floats, size: int) -> Floats:
    """Means of `size` neighbors, NaN where none of them is finite; the last few are left out."""
    blocks = values[: len(values) // size * size].reshape(-1, size)
    finite = np.isfinite(blocks)
    total, count = np.sum(blocks, axis=1, where=finite), finite.sum(1)
    return np.divide(total, count, out=np.full(len(blocks), np.nan), where=count > 0)


def _structured(mean: Floats, width: int) -> slice:
    """The `width` pixels over which a mean spectrum varies most, without invalid ones."""
    filled = np.where(np.isnan(mean), np.nanmean(mean), mean)
    spread = uniform_filter1d(filled**2, width) - uniform_filter1d(filled, width) ** 2
    spread[uniform_filter1d(np.isnan(mean).astype(float), width) > 1e-9] = -np.inf
    spread[: width // 2] = spread[len(mean) - width :] = -np.inf
    first = max(int(np.argmax(spread)) - width // 2, 0)
    return slice(first, first + width)


def _tensor(model: SpectrumVAE, values: Floats) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32)).to(next(model.parameters()).device)


def _decoded(model: SpectrumVAE, latents: torch.Tensor) -> Floats:
    decoded: Floats = model.decode(latents).float().cpu().numpy()
    return decoded


PICTURES_AFTER = 5
"""Checks from one pair of pictures to the next; the last check of a run draws in any case."""

WATCHED = "validation_loss"
"""Of `watch.csv`, by which the best checkpoint is kept."""

_SHORTEST_EPOCH = 0.25
"""Epochs shorter than this share of `every` have no check of their own."""


class Watch(Callback):
    """Looks at the validation rows every `every` steps, at the end of epochs and at the very end.

    Writes `watch.csv` (one line per check), `dims.csv` (one line per dimension and check),
    `pictures/` (the latest ones), and the same to TensorBoard where the trainer has such a logger.
    Global rank 0 looks, the others wait. A resumed run goes on in the same files: what was written
    of later steps is dropped.
    """

    def __init__(self, every: int, folder: Path) -> None:
        self._every, self._folder = every, folder
        self._watch = StepTable(folder / "watch.csv")
        self._dims = StepTable(folder / "dims.csv")
        self._scene: Scene | None = None
        self._drawn, self._looked = 0, -1

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Drop what was written after the checkpoint that the run goes on from.

        Weights that a run starts from are looked at before the first step.
        """
        self._looked = trainer.global_step
        if not trainer.is_global_zero:
            return
        self._drawn = trainer.global_step
        self._watch.cut(trainer.global_step + 1)
        self._dims.cut(trainer.global_step + 1)
        forget_from(trainer.loggers, trainer.global_step)
        if pl_module.config.start is not None and trainer.global_step == 0:
            self._look(trainer, pl_module, 0, False)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look when it is time to."""
        step, epoch = trainer.global_step, trainer.datamodule.epoch_steps
        if step == self._looked:  # with accumulation several batches end at the same step
            return
        self._looked = step
        epoch = epoch and epoch / trainer.accumulate_grad_batches
        last = step == pl_module.config.steps
        if not (last or self._due(step, epoch)):
            return
        loss = self._look(trainer, pl_module, step, last) if trainer.is_global_zero else 0.0
        # All processes have to agree on which checkpoint is the best.
        loss = trainer.strategy.broadcast(loss)
        trainer.callback_metrics[WATCHED] = torch.tensor(loss)

    def _due(self, step: int, epoch: float | None) -> bool:
        if step % self._every == 0:
            return True
        if epoch is None or epoch < _SHORTEST_EPOCH * self._every:
            return False
        return int(step / epoch) > int((step - 1) / epoch)

    def _look(
        self, trainer: lightning.Trainer, module: SpectrumModule, step: int, last: bool
    ) -> float:
        data: Data = trainer.datamodule
        boards = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
        with evaluated(module):
            seen = validate(module, data)
            dims = dims_table(seen, data.validation_labels)
            line = figures(module, seen, dims, data.validation_labels)
            row = {"step": step, "minutes": round(module.seconds / 60, 2)} | line
            self._watch.add(_rounded(pd.DataFrame([row])))
            of_step = dims.astype({"active": int})
            of_step.insert(0, "step", step)
            self._dims.add(_rounded(of_step))
            _log_numbers(boards, step, line, dims)
            if last or step - self._drawn >= PICTURES_AFTER * self._every:
                self._drawn = step
                self._draw(module, data, seen, boards, step)
        return line["loss"]

    def _draw(
        self,
        module: SpectrumModule,
        data: Data,
        seen: Validation,
        boards: list[TensorBoardLogger],
        step: int,
    ) -> None:
        model = module.model
        assert model.prepare is not None
        if self._scene is None:
            self._scene = scene(model.prepare, data)
        title = f"{module.config.name}, step {step:,}"
        drawn = {
            "reconstructions": draw_reconstructions(model, self._scene, title),
            "traversal": draw_traversal(model, self._scene, seen, title),
        }
        for name, figure in drawn.items():
            if figure is None:
                continue
            with atomic_path(self._folder / "pictures" / f"{name}.png") as temporary:
                figure.savefig(temporary, format="png")
            for board in boards:
                board.experiment.add_figure(name, figure, max(step - 1, 0), close=False)


def _log_numbers(
    boards: list[TensorBoardLogger], step: int, line: dict[str, float], dims: pd.DataFrame
) -> None:
    """Log to TensorBoard, where steps count from 0 as Lightning's do."""
    values = {f"validation/{key}": value for key, value in line.items()}
    for kind in ("kl", "mad"):
        values |= {f"{kind}/{dim:03d}": float(value) for dim, value in enumerate(dims[kind])}
    for board in boards:
        board.log_metrics(values, max(step - 1, 0))


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    """Six significant digits of every number that is not whole."""
    return table.map(lambda value: float(f"{value:.6g}") if isinstance(value, float) else value)
