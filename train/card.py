"""What a model card says a network has learned, measured on validation rows."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from latentscope.diagnostics.mi.api import mi_matrix, pairwise_mi
from latentscope.diagnostics.threshold import THRESHOLD
from latentscope.errors import EstimatorError, LatentscopeWarning
from latentscope.models.config import ModelConfig
from train.data.batches import Data
from train.learning.dims import DEAD
from train.learning.losses import NAMES as PENALTIES
from train.learning.module import SpectrumModule
from train.settings import SCHEDULES, Schedule, Stage, TrainConfig
from train.validation import (
    Validation,
    dims_table,
    evaluated,
    own_threads,
    rank_correlation,
    validate,
)

MAX_DIMS = 16
"""Informative dimensions that are measured, those with the largest KL."""


@dataclass(frozen=True)
class Findings:
    """Figures of a network on validation rows, one spectrum per star."""

    n: int  # rows
    dims: pd.DataFrame  # see `dims_table`
    informative: list[int]  # strongest first
    # label, dim, mi_nats, std_nats, rank, next_dim, next_mi_nats; empty where nothing is to tell.
    labels: pd.DataFrame
    pair: tuple[float, int, int] | None  # the two dimensions that share most, and how many nats


def findings(module: SpectrumModule, data: Data) -> Findings:
    """Measure a network on its validation rows."""
    with evaluated(module):
        seen = validate(module, data)
    informative = seen.informative[:MAX_DIMS]
    with warnings.catch_warnings(), own_threads():
        # What a label lacks shows in the table: it has no line.
        warnings.simplefilter("ignore", LatentscopeWarning)
        labels = _labels(seen, data.validation_labels, informative)
        pair = _largest_pair(seen, informative)
    dims = dims_table(seen, pd.DataFrame())
    return Findings(len(seen.mean), dims, seen.informative, labels, pair)


def _labels(seen: Validation, labels: pd.DataFrame, dims: list[int]) -> pd.DataFrame:
    if labels.empty or not dims:
        return pd.DataFrame()
    try:
        result = mi_matrix(seen.mean, labels, dims=sorted(dims))
    except EstimatorError:
        return pd.DataFrame()
    lines = []
    for name, of_label in result.table.dropna(subset="p_value").groupby("label", sort=False):
        best, *others = of_label.sort_values("mi_nats", ascending=False).to_dict("records")
        rank = rank_correlation(seen.mean, labels[str(name)])
        line = {"label": name, "dim": best["dim"], "mi_nats": best["mi_nats"]}
        line |= {"std_nats": best["std_nats"], "rank": rank[best["dim"]]}
        if others:
            line |= {"next_dim": others[0]["dim"], "next_mi_nats": others[0]["mi_nats"]}
        lines.append(line)
    return pd.DataFrame(lines)


def _largest_pair(seen: Validation, dims: list[int]) -> tuple[float, int, int] | None:
    if len(dims) < 2:
        return None
    try:
        table = pairwise_mi(seen.mean, dims=sorted(dims)).table
    except EstimatorError:
        return None
    best = table.sort_values("mi_nats", ascending=False).iloc[0]
    return float(best["mi_nats"]), int(best["dim_x"]), int(best["dim_y"])


CARD_FILE = "README.md"

_LIMITS = "## What it cannot do"
UNWRITTEN = "*Nobody has written this yet.*"
"""What stands in the author's section until somebody writes it."""

_BEGIN, _END = "<!-- author: begin -->", "<!-- author: end -->"
_AUTHORS = re.compile(f"{_BEGIN}\n(.*?)\n{_END}", re.DOTALL)

_LOSSES = {
    "l2": "half the {} of squared residuals",
    "l1": "the {} of absolute residuals",
    "ivar": "half the {} of squared residuals, each over the error of its pixel",
}

_FRONT_MATTER = """---
library_name: latentscope
pipeline_tag: feature-extraction
tags:
- astronomy
- spectroscopy
- stellar-spectra
- variational-autoencoder
---
"""

_USE = """## How to use it

```
pip install latentscope-spectra
latentscope encode spectra/ -m MODEL
latentscope models --check MODEL
```

```python
from latentscope import encode, load_model

latents = encode("spectra/", load_model("MODEL"))
```

`MODEL` is the folder of this file, or the id of its Hugging Face repository. `--check` compares
the latents of three reference spectra (`reference.safetensors`) with those that the training
machine computed.
"""


def card(
    settings: ModelConfig, config: TrainConfig, found: Findings, older: str | None = None
) -> str:
    """Return the text of a model card; an older one's front matter and author's part are kept."""
    info = settings.info
    sections = [
        f"{_front_matter(older)}\n# {info['name']}\n\n{info.get('description', '')}\n",
        _USE,
        _made(settings, config),
        _dimensions(found, settings),
        _limits(older),
        f"## Provenance\n\n```json\n{json.dumps(info['training'], indent=2)}\n```\n",
    ]
    return "\n".join(sections)


def _front_matter(older: str | None) -> str:
    """The older card's, for its author may have put a license there, unless it cannot be read."""
    kept = re.match("---\n(.*?\n)---\n", older or "", re.DOTALL)
    with suppress(yaml.YAMLError):
        if kept and isinstance(yaml.safe_load(kept[1]), dict):
            return kept[0]
    return _FRONT_MATTER


_PROBE = "## What its probe reads"


def with_probe(text: str, told: pd.DataFrame, origin: str) -> str:
    """Return a card with a section on the probe, in place of an older one.

    `told` has the columns of `ProbeResult.best`.
    """
    rows = [
        [
            row["label"],
            f"{row['error']:.3g} ({row['error_low']:.3g} ... {row['error_high']:.3g}) "
            f"{row['unit']}",
            f"{row['r2']:.3f}",
        ]
        for row in told.to_dict("records")
    ]
    lines = [
        _PROBE,
        "",
        "What `encode` writes of each spectrum, with intervals that hold 90 % of stars like those "
        f"it learned from: {told['n'].max():,} {origin}. Median error on such stars that were not "
        "learned from:",
        "",
        *_table(["label", "error (95 %)", "R2"], rows),
    ]
    section = "\n".join(lines)
    older = re.compile(rf"{_PROBE}\n.*?(?=\n\n## )", re.DOTALL)
    if older.search(text):
        return older.sub(lambda _: section, text)
    return text.replace(_LIMITS, f"{section}\n\n{_LIMITS}", 1)


def read_card(folder: Path) -> str | None:
    """Return the card in a folder, or None."""
    path = folder / CARD_FILE
    return path.read_text("utf-8") if path.is_file() else None


def _made(settings: ModelConfig, config: TrainConfig) -> str:
    training, shape = settings.info["training"], settings.architecture
    kind = "A beta-VAE" if shape.variational else "An autoencoder"
    penalties = any(config.uses(name) for name in PENALTIES)
    averaged = ", averaged over the latents" if config.reduction == "mean" else ""
    assert settings.prepare is not None
    grid = settings.prepare.grid
    wavelength = grid.wavelength
    done = training["steps"]
    whole = "" if done >= config.steps else f" of {config.steps:,} that were planned"
    lines = [
        "## How it was made",
        "",
        f"{kind} with {shape.latents} latents"
        + (", the first of which shifts the decoded lines" if shape.doppler else "")
        + f". Input: {wavelength[0]:.0f} to {wavelength[-1]:.0f} Angstrom ({grid.medium}, "
        f"{grid.frame}), {grid.length:,} pixels, normalization `{settings.prepare.normalization}`.",
        "",
        f"Loss of a spectrum: {_LOSSES[config.loss].format(config.reduction)} of the lines, "
        "`continuum_weight` times the same of the continuum, and `beta` times the KL of q(z|x) "
        f"from the unit Gaussian in nats{averaged}."
        + (" Penalties of the batch are added, times the factors in the table." * penalties),
        "",
        f"{done:,} steps{whole}, {config.data.batch_size} spectra each; "
        f"{training['minutes']:g} minutes; seed {config.seed}.{_besides(config)}",
        "",
        *_stages(config.stages),
    ]
    return "\n".join(lines) + "\n"


def _besides(config: TrainConfig) -> str:
    """What else decided the weights, in sentences that begin with a blank."""
    closed, clip = config.close_below, config.clip_gradients
    sentences = [
        (config.ema_decay, f"Weights averaged with a decay of {config.ema_decay:g} per step."),
        (clip, f"Gradients clipped to a norm of {clip or 0:g}."),
        (closed, f"At the end, dimensions with less than {closed:g} nats were closed."),
        (
            config.rotate,
            "The open dimensions were turned to where they depend on each other least.",
        ),
    ]
    return "".join(f" {sentence}" for applies, sentence in sentences if applies)


_AT_START = {
    "revive": "dead dimensions drawn anew",
    "turn": "open dimensions rotated",
    "gather": "closed dimensions gathered",
}


def _stages(stages: Iterable[Stage]) -> list[str]:
    """Table of the stages: a column for each schedule that any of them sets."""
    stages = list(stages)
    defaults = {field.name: field.default for field in fields(Stage)}
    shown = [
        name
        for name in SCHEDULES
        if name == "beta" or any(getattr(stage, name) != defaults[name] for stage in stages)
    ]
    rows = [
        [
            str(number),
            f"{stage.steps:,}",
            *(_schedule(getattr(stage, name)) for name in shown),
            ", ".join(words for key, words in _AT_START.items() if getattr(stage, key)),
        ]
        for number, stage in enumerate(stages, 1)
    ]
    return _table(["stage", "steps", *shown, "at its start"], rows)


def _schedule(schedule: Schedule) -> str:
    if schedule.last == schedule.start:
        return f"{schedule.start:g}"
    return f"{schedule.start:g} to {schedule.last:g}, {schedule.curve}"


def _dimensions(found: Findings, settings: ModelConfig) -> str:
    threshold = settings.info["mad_threshold"]
    lines = [
        "## What its dimensions know",
        "",
        f"Measured on {found.n:,} validation spectra that it was not trained on. Informative means "
        f"a median absolute deviation (MAD) above {threshold:g} and, where there is a KL, one "
        "above 0.1 nats. Mutual information (MI) is in nats, by latentscope's estimators.",
        "",
        f"{len(found.informative)} of {len(found.dims)} dimensions are informative, strongest "
        f"first: {', '.join(map(str, found.informative)) or 'none'}. {found.dims['active'].sum()} "
        "are active (variance of the mean above 0.01).",
    ]
    lines += ["", _counts(found.dims)] if found.dims["kl"].any() else []
    if found.informative:
        of_dim = found.dims.set_index("dim").loc[found.informative]
        rows = [[dim, f"{row.kl:.2f}", f"{row.mad:.3f}"] for dim, row in of_dim.iterrows()]
        lines += ["", *_table(["dim", "KL (nats)", "MAD"], rows)]
    if len(found.labels):
        header = ["label", "dim", "MI (nats)", "rank correlation", "next dim", "its MI"]
        lines += ["", *_table(header, [_of_label(row) for row in found.labels.to_dict("records")])]
    if found.pair is not None:
        value, one, other = found.pair
        lines += [
            "",
            f"The largest mutual information of two informative dimensions is {value:.2f} nats "
            f"({one} and {other}); 0 would be independence.",
        ]
    return "\n".join(lines) + "\n"


def _counts(dims: pd.DataFrame) -> str:
    """Say how many dimensions each way of counting finds, for they need not agree."""
    ways = {f"KL above {nats:g} nats": dims["kl"] > nats for nats in (DEAD, 0.02)}
    ways[f"MAD above {THRESHOLD:g}"] = dims["mad"] > THRESHOLD
    counts = [
        f"{name}: {found.sum()} ({', '.join(map(str, dims['dim'][found])) or 'none'})"
        for name, found in ways.items()
    ]
    return f"Counted each way by itself: {'; '.join(counts)}."


def _of_label(row: Mapping[Any, Any]) -> list[str]:
    after = row.get("next_dim")
    has_next = after is not None and after == after
    return [
        str(row["label"]),
        f"{row['dim']:.0f}",
        f"{row['mi_nats']:.2f} +- {row['std_nats']:.2f}",
        f"{row['rank']:+.3f}",
        f"{after:.0f}" if has_next else "",
        f"{row['next_mi_nats']:.2f}" if has_next else "",
    ]


def _limits(older: str | None) -> str:
    written = _AUTHORS.search(older or "")
    text = written[1] if written else UNWRITTEN
    hint = (
        "For the author of the model: how it does on spectra that you know (real ones, other "
        "stars, other\ninstruments), what it should not be used for, whom to cite, the license "
        "(`license:` at the top of this file).\n\n"
    )
    hint = hint if UNWRITTEN in text else ""
    return f"{_LIMITS}\n\n{hint}{_BEGIN}\n{text}\n{_END}\n"


def _table(header: list[str], rows: Iterable[Iterable[Any]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(str(cell).replace('|', '/') for cell in line)} |" for line in lines]
