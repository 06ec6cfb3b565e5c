"""Commands about models: models, convert."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from latentscope.cli.application import UsageError, command, one_of
from latentscope.cli.options import Json
from latentscope.cli.output import Output


@command("latentscope models", "latentscope models --check org/name")
def models(
    check: Annotated[
        str | None,
        typer.Option(
            "--check",
            metavar="MODEL",
            help="Name, folder or Hugging Face id: does it compute the latents it came with?",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the models that have a name, or check one.

    Bundled ones, and published ones, which are downloaded on first use.
    """
    out = Output(as_json)
    if check is not None:
        _check(check, out)
        return
    from latentscope.models.registry import available_models

    known = available_models()
    out.table(
        ("name", "where", "latents", "grid", "description"),
        [
            (item["name"], item["where"], item["latents"], item["grid"], item["description"])
            for item in known
        ],
    )
    out.result(known)


def _check(model: str, out: Output) -> None:
    from latentscope.models.check_rows import TOLERANCE, check_model

    difference = check_model(model)
    out.say(
        f"{model}: its reference spectra give the latents they should, to {difference:.1g} "
        f"(allowed: {TOLERANCE:g})"
    )
    out.result({"model": model, "difference": difference, "tolerance": TOLERANCE})


@command("latentscope convert model_128d_e182_i1500000.pth.tar folder/")
def convert(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="IN", help="Published .pth.tar checkpoint.")
    ],
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the converted model.")],
    normalization: Annotated[
        str | None,
        typer.Option(
            "--normalization",
            help="What the spectra were divided by in training: median-padded (astro-machines) or "
            "median-valid (stellar-karaoke). Default: known by the published file's name.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Turn a published checkpoint into a model folder.

    The folder holds config.json, which says how to prepare spectra, and model.safetensors.
    """
    from latentscope.models.registry import PublishedNormalization
    from latentscope.models.weights import convert_checkpoint, load_model, save_model

    if not checkpoint.is_file():
        raise UsageError(f"{checkpoint}: no such file; wanted a .pth.tar checkpoint")
    out = Output(as_json)
    if normalization is None:
        save_model(load_model(checkpoint), folder)
    else:
        chosen = one_of("--normalization", normalization, PublishedNormalization)
        convert_checkpoint(checkpoint, folder, normalization=chosen)
    out.say(f"wrote {folder / 'config.json'} and {folder / 'model.safetensors'}")
    out.result({"checkpoint": checkpoint, "folder": folder})
