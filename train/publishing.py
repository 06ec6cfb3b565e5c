"""A model folder: written from a run, made half as large, and pushed to the Hugging Face hub."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from latentscope import __version__
from latentscope.data import Latents
from latentscope.diagnostics.activity import kl_divergence
from latentscope.diagnostics.probe import fit_probe
from latentscope.diagnostics.probe import probe as measure
from latentscope.diagnostics.threshold import THRESHOLD
from latentscope.diagnostics.trust_reference import (
    MAX_ROWS,
    MIN_ROWS,
    TrustSample,
    draw_trust_sample,
)
from latentscope.errors import ChoiceError, ModelError, warn
from latentscope.files import atomic_path
from latentscope.models.config import (
    CONFIG_FILE,
    PROBE_FILE,
    SAMPLE_FILE,
    read_config,
)
from latentscope.models.encode import Network, encode
from latentscope.models.network import SpectrumVAE
from latentscope.models.probes import probe_beside, write_probe
from latentscope.models.trust import sample_beside, segment_edges, write_trust_sample
from latentscope.models.weights import (
    CHECK_FILE,
    WEIGHTS_FILE,
    check_against_rows,
    load_folder,
    read_check_rows,
    save_model,
    weights_sha256,
    write_check_rows,
)
from latentscope.simulation.population import HARPS
from latentscope.simulation.simulate import simulate
from latentscope.spectra.wavelength import SPEED_OF_LIGHT
from train.card import CARD_FILE, UNWRITTEN, card, findings, read_card, with_probe
from train.data.batches import Batch, Data
from train.data.doppler import DopplerShift
from train.data.simulated import simulated_archive
from train.learning.module import SpectrumModule
from train.settings import TrainConfig
from train.validation import evaluated

_AT_ONCE = 64


def simulated_sample(
    model: SpectrumVAE,
    n: int,
    *,
    seed: int = 7000,
    linelist: str | Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> TrustSample:
    """Encode `n` simulated spectra, one per star, as a reference sample.

    They have the faults of real ones (`simulation.imperfect`), and in part the continuum of other
    instruments: else every real star would be odd. No configuration trains on the archive of the
    default seed.
    """
    values, tables, provenance = [], [], {}
    archive = simulate(
        n, seed=seed, linelist=linelist, repeats=False,
        population=replace(HARPS, other_instruments=0.3, imperfect=True),
    )  # fmt: skip
    spectra = (spectrum for spectrum, _ in archive)
    done = 0
    while block := list(islice(spectra, _AT_ONCE)):
        part = encode(block, model)
        values.append(part.values)
        tables.append(part.table)
        provenance = part.provenance
        done += len(block)
        if progress is not None:
            progress(done)
    latents = Latents(
        np.concatenate(values), pd.concat(tables, ignore_index=True), None, provenance
    )
    lines = "built-in lines" if linelist is None else Path(linelist).name
    origin = f"imperfect simulated spectra, seed {seed}, {lines}"
    return draw_trust_sample(latents, max_rows=n, origin=origin)


PROBED = ("radvel", "Teff", "logg", "[M/H]", "vsini")
"""Labels of simulated stars that a model's probe reads, where it can."""

_TOLD = 0.5  # share of a label's variance from which it counts as read
_KNOWN = 0.1  # nats of a dimension that a probe may use
_FAST = 300.0  # km/s by which every other spectrum is shifted, either way
_PROBE_STREAM = 31


def simulated_labels(
    model: SpectrumVAE, n: int, *, seed: int, population: str, folder: Path, workers: int
) -> tuple[Latents, pd.DataFrame]:
    """Encode `n` simulated stars, one spectrum each, for a probe; with their true labels.

    Every other spectrum is shifted by up to 300 km/s, since few stars of a population are fast. The
    archive must have another seed than the network was trained on; `folder` keeps its rows, as
    those of a training run.
    """
    assert model.prepare is not None
    rows, labels = simulated_archive(model.prepare, n, seed, None, folder, workers, population)
    rng = np.random.default_rng((seed, _PROBE_STREAM))
    velocity = rng.uniform(-_FAST, _FAST, n) * (np.arange(n) % 2)
    shift, network = DopplerShift(model.prepare), Network(model, "cpu", "auto", False)
    mean, logvar = [], []
    for start in range(0, n, _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        batch = Batch(torch.from_numpy(rows[some].astype(np.float32)), torch.arange(n)[some])
        moved = shift(batch, torch.from_numpy(velocity[some])).rows.numpy()
        found = network.encode(moved, np.ones(moved.shape, dtype=np.bool_))
        mean.append(found.mean)
        logvar.append(found.logvar)
    betas = [v / SPEED_OF_LIGHT for v in (velocity, labels["radvel"].to_numpy())]
    labels["radvel"] = SPEED_OF_LIGHT * np.tanh(sum(np.arctanh(beta) for beta in betas))
    provenance = {
        "model": str(model.info["name"]),
        "weights_sha256": weights_sha256(model),
        "mad_threshold": model.info.get("mad_threshold"),
    }
    return Latents(np.concatenate(mean), None, np.concatenate(logvar), provenance), labels


def export_probe(
    folder: Path, latents: Latents, labels: pd.DataFrame, *, origin: str, seed: int = 0
) -> pd.DataFrame:
    """Write the probe of a model folder, of labels that can be read, and describe it in the card.

    Dimensions with less than 0.1 nats (of a deterministic model: that are not informative) are not
    read: their means are small, and other spectrographs move them. `labels` are of the rows of
    `latents`, one per star; `origin` says what the spectra are; `seed` is that of the split of the
    stars. Returns how well each label is read, as `ProbeResult.best`; ModelError if none is.
    """
    dims: Any = "informative"
    if latents.logvar is not None and np.isfinite(latents.logvar).all():
        dims = np.flatnonzero(kl_divergence(latents.values, latents.logvar) > _KNOWN).tolist()
    chosen = [name for name in PROBED if name in labels]
    measured = measure(
        latents, labels, dims=dims, columns=chosen, readers=["curved"], groups=None, seed=seed
    ).best
    told = measured[measured["r2"] > _TOLD]
    if told.empty:
        raise ModelError(f"{folder}: none of {', '.join(chosen)} can be read; no probe is written")
    probe = fit_probe(
        latents, labels, dims=dims, columns=told["label"].tolist(), groups=None, seed=seed
    )
    write_probe(replace(probe, info=probe.info | {"origin": origin}), folder)
    text = read_card(folder)
    if text is not None:
        write_card(with_probe(text, told, origin), folder)
    return told


def validation_sample(model: SpectrumVAE, data: Data) -> TrustSample:
    """Sample of up to 3,000 validation rows, whose noise and resolution nobody knows any more."""
    prepare = model.prepare
    assert prepare is not None
    rows, valid = data.validation_rows, data.validation_valid
    order = np.random.default_rng(0).permutation(len(rows))[:MAX_ROWS]
    chosen, pixels = rows[order].astype(np.float32), np.zeros(prepare.row_size, np.bool_)
    pixels[prepare.science] = ~prepare.grid.gap_mask
    good = np.tile(pixels, (len(chosen), 1)) if valid is None else valid[order]
    found = Network(model, "cpu", "auto", True).encode(chosen, good)
    unknown = np.full(len(chosen), np.nan)
    info = {
        "model": str(model.info["name"]),
        "weights_sha256": weights_sha256(model),
        "origin": "validation spectra of its training",
    }
    return TrustSample(
        found.mean.astype(np.float64),
        found.recon_error.astype(np.float64),
        (good & pixels).sum(axis=1) / pixels.sum(),
        unknown,
        unknown,
        found.contrast.astype(np.float64),
        found.roughness.astype(np.float64),
        found.emission.astype(np.float64),
        found.elsewhere.astype(np.float64),
        found.vacuum.astype(np.float64),
        unknown,
        found.segments.astype(np.float64),
        np.array(segment_edges(prepare)),
        info,
    )


def export_sample(folder: Path, data: Data) -> None:
    """Write the sample of validation rows beside a model's weights; none of fewer than 100 rows.

    An older one is removed, and a probe too: they belonged to other weights.
    """
    for name in (SAMPLE_FILE, PROBE_FILE):
        (folder / name).unlink(missing_ok=True)
    if len(data.validation_rows) >= MIN_ROWS:
        write_trust_sample(validation_sample(load_folder(folder), data), folder)


def export(
    module: SpectrumModule,
    config: TrainConfig,
    data: Data,
    folder: Path,
    *,
    steps: int | None = None,
) -> Path:
    """Write the model folder: config.json, model.safetensors, README.md, reference.safetensors.

    With 100 validation rows or more also sample.safetensors, by which spectra are judged. Averaged
    weights, where the run has them. What an author wrote in an older README.md stays. The
    validation rows of `data` are measured, three of them become the reference. `steps` is how many
    the network was trained, by default all. ModelError if the folder cannot be written, or the
    weights are not finite.
    """
    found = findings(module, data)
    with evaluated(module) as model:
        model.info = {
            "name": config.name,
            "description": config.description,
            "beta": config.stages[-1].beta.at(1.0),
            "mad_threshold": THRESHOLD,
            "weights_dtype": "float32",
            "training": data.provenance
            | {
                "steps": config.steps if steps is None else steps,
                "batch_size": config.data.batch_size,
                "seed": config.seed,
                **({} if config.start is None else {"start": config.start}),
                "minutes": round(module.seconds / 60, 1),
                "latentscope": __version__,
                "torch": str(torch.__version__),
            },
        }
        save_model(model, folder)
    # Read back: rounded as they are stored, and a proof that the folder loads.
    rows = data.validation_rows
    three = np.unique(np.linspace(0, len(rows) - 1, 3).round().astype(int))
    write_check_rows(load_folder(folder), rows[three].astype(np.float32), folder)
    export_sample(folder, data)
    text = card(read_config(folder / CONFIG_FILE), config, found, read_card(folder))
    write_card(text, folder)
    return folder


def write_card(text: str, folder: Path) -> None:
    """Write README.md of a model folder, whole or not at all."""
    with atomic_path(folder / CARD_FILE) as temporary:
        temporary.write_text(text, encoding="utf-8")


def half(folder: Path, target: Path) -> float:
    """Copy a model folder with float16 weights, which `load_model` reads back as float32.

    Returns how far the latents of the reference spectra moved, as `check_against_rows` measures it.
    ModelError if the folder is no model with a reference, or a weight is too large for float16.
    """
    if target.resolve() == folder.resolve():
        raise ModelError(f"{target}: expected another folder than the model's own")
    rows = read_check_rows(folder)
    model = load_folder(folder)
    sample, probe = sample_beside(model), probe_beside(model)
    model.info["weights_dtype"] = "float16"
    save_model(model, target)
    rounded = load_folder(target)
    moved = check_against_rows(rounded, folder, tolerance=float("inf"))
    write_check_rows(rounded, rows, target)
    if sample is not None:
        # The latents are nearly the same, so the sample serves the rounded weights too.
        info = sample.info | {"weights_sha256": weights_sha256(rounded)}
        write_trust_sample(replace(sample, info=info), target)
    if probe is not None:
        info = probe.info | {"weights_sha256": weights_sha256(rounded)}
        write_probe(replace(probe, info=info), target)
    text = read_card(folder)
    if text is not None:
        line = f"Weights rounded to float16; the reference latents moved by {moved:.1g} at most."
        write_card(f"{text.rstrip()}\n\n{line}\n", target)
    return moved


FILES = (CONFIG_FILE, WEIGHTS_FILE, CHECK_FILE, CARD_FILE)
"""What a model folder has to hold to be pushed."""

BESIDES = (SAMPLE_FILE, PROBE_FILE, "*.png", "*.svg", "LICENSE*", "CITATION*")
"""What goes along, if it is there."""

_REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*")

_ADVICE = {
    400: "the hub did not take the request: look at README.md's first lines and at the names",
    401: "the token is not valid: run `hf auth login`, or set HF_TOKEN",
    403: "this token may not write there: take one with write permission, and a member's",
    404: "there is no such repository or branch for this token",
}


@dataclass(frozen=True)
class Pushed:
    """What was uploaded, or would be."""

    repository: str  # what `load_model` takes: org/name, with @revision if one was named
    files: dict[str, int]  # name -> bytes
    difference: float  # largest, of the reference latents
    url: str | None  # of the commit; None of a dry run


def push(
    folder: Path,
    repository: str,
    *,
    private: bool = False,
    revision: str | None = None,
    dry_run: bool = False,
) -> Pushed:
    """Check a model folder and upload it to the Hugging Face hub in one commit.

    The token is that of the environment (`HF_TOKEN`) or of `hf auth login`; `HF_ENDPOINT` names
    another hub. Repository (`org/name`) and branch are made if they are not there; `private`
    refuses a public one. ModelError if the folder does not load, its reference latents do not
    agree, there is no token, or the hub cannot be reached or refuses. A warning if the author's
    part of the card is not written.
    """
    if not _REPOSITORY.fullmatch(repository):
        raise ChoiceError(
            f"{repository!r} is no repository; expected ORG/NAME, such as me/my-model"
        )
    difference, files = _checked(folder)
    name = repository if revision is None else f"{repository}@{revision}"
    if dry_run:
        return Pushed(name, files, difference, None)
    with _hub_errors(repository):
        url = _upload(folder, repository, list(files), private, revision)
    return Pushed(name, files, difference, url)


def _checked(folder: Path) -> tuple[float, dict[str, int]]:
    """Difference of the reference latents, and the files to upload with their sizes."""
    difference = check_against_rows(load_folder(folder), folder)
    card = read_card(folder)
    if card is None:
        raise ModelError(
            f"{folder / CARD_FILE}: no such file; nobody knows what a model without a card is good "
            "for: export the run again, or write one"
        )
    if UNWRITTEN in card:
        warn(
            f"{folder / CARD_FILE}: nobody has written what this model cannot do; edit that "
            "section and push again"
        )
    paths = {path for pattern in (*FILES, *BESIDES) for path in folder.glob(pattern)}
    return difference, {path.name: path.stat().st_size for path in sorted(paths)}


def _upload(
    folder: Path, repository: str, files: list[str], private: bool, revision: str | None
) -> str:
    # half a second to import
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    token = get_token()
    if token is None:
        raise ModelError(
            "no Hugging Face token: run `hf auth login`, or set HF_TOKEN to a token that may write"
        )
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=token, library_name="latentscope")
    if not api.repo_exists(repository):
        api.create_repo(repository, private=private or None, exist_ok=True)
    if private and not api.model_info(repository).private:
        raise ModelError(
            f"{repository} is there already and is public; make it private in its settings, or "
            "push without --private"
        )
    if revision is not None:
        api.create_branch(repository, branch=revision, exist_ok=True)
    commit = api.upload_folder(
        repo_id=repository,
        folder_path=folder,
        allow_patterns=files,
        revision=revision,
        commit_message="Upload a latentscope model",
    )
    return str(commit.commit_url)


@contextmanager
def _hub_errors(repository: str) -> Iterator[None]:
    """Turn whatever the hub's client raises into a ModelError that says what to do."""
    try:
        yield
    except ModelError:
        raise
    # The client raises errors of its HTTP library and of its storage library as they are, and
    # these have no base in common.
    except Exception as error:
        causes = [error] if error.__cause__ is None else [error, error.__cause__]
        reason = " ".join(" ".join(map(str, causes)).split()) or type(error).__name__
        advice = _ADVICE.get(_status(error), "look at the network connection, and push again")
        raise ModelError(f"{repository}: not uploaded ({reason}); {advice}") from error


def _status(error: BaseException) -> int:
    """HTTP status of an error or of what it came from; 0 without one."""
    response = getattr(error, "response", None)
    if response is None and error.__cause__ is not None:
        return _status(error.__cause__)
    return int(getattr(response, "status_code", 0))
