"""See what a network learned from stellar spectra.

Files -> `Spectrum` -> pixel row on the model's grid -> model -> `Latents` -> diagnostics.

The names below are imported when they are first used, so that `import latentscope` alone loads
neither torch nor matplotlib nor astropy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from latentscope.errors import (
    EstimatorError,
    LatentscopeError,
    LatentscopeWarning,
    ModelError,
    SpectrumError,
    TableError,
)

if TYPE_CHECKING:
    from latentscope.diagnostics.activity import MADResult, mad
    from latentscope.diagnostics.estimators.histogram import paper_indicator
    from latentscope.diagnostics.mi_result import PairwiseResult
    from latentscope.diagnostics.mutual_information import MIResult, mi_matrix, mutual_information
    from latentscope.diagnostics.pairwise import pairwise_mi
    from latentscope.latents import Latents, align, read_labels, read_latents, write_latents
    from latentscope.model.architecture import VAEConfig
    from latentscope.model.convert import convert_checkpoint
    from latentscope.model.encode import encode
    from latentscope.model.registry import available_models
    from latentscope.model.vae import SpectrumVAE
    from latentscope.model.weights import load_model, save_model
    from latentscope.plots.activity import plot_mad
    from latentscope.plots.dimension import plot_dim_against_label
    from latentscope.plots.information import plot_mi, plot_pairwise
    from latentscope.simulation.simulate import simulate, write_archive
    from latentscope.spectra.prepare import Grid, PrepareConfig, prepare, restore
    from latentscope.spectra.readers import read_spectrum
    from latentscope.spectra.spectrum import Spectrum
    from latentscope.spectra.summary import summarize

__version__ = "0.1.0"

_NAMES_OF_MODULE = {
    "diagnostics.activity": ("MADResult", "mad"),
    "diagnostics.mutual_information": ("MIResult", "mi_matrix", "mutual_information"),
    "diagnostics.estimators.histogram": ("paper_indicator",),
    "diagnostics.mi_result": ("PairwiseResult",),
    "diagnostics.pairwise": ("pairwise_mi",),
    "latents": ("Latents", "align", "read_labels", "read_latents", "write_latents"),
    "model.architecture": ("VAEConfig",),
    "model.convert": ("convert_checkpoint",),
    "model.encode": ("encode",),
    "model.vae": ("SpectrumVAE",),
    "model.registry": ("available_models",),
    "model.weights": ("load_model", "save_model"),
    "plots.activity": ("plot_mad",),
    "plots.dimension": ("plot_dim_against_label",),
    "plots.information": ("plot_mi", "plot_pairwise"),
    "spectra.prepare": ("Grid", "PrepareConfig", "prepare", "restore"),
    "spectra.readers": ("read_spectrum",),
    "simulation.simulate": ("simulate", "write_archive"),
    "spectra.spectrum": ("Spectrum",),
    "spectra.summary": ("summarize",),
}
_HOME = {name: module for module, names in _NAMES_OF_MODULE.items() for name in names}

__all__ = [
    "EstimatorError",
    "Grid",
    "Latents",
    "LatentscopeError",
    "LatentscopeWarning",
    "MADResult",
    "MIResult",
    "ModelError",
    "PairwiseResult",
    "PrepareConfig",
    "Spectrum",
    "SpectrumError",
    "SpectrumVAE",
    "TableError",
    "VAEConfig",
    "__version__",
    "align",
    "available_models",
    "convert_checkpoint",
    "encode",
    "load_model",
    "mad",
    "mi_matrix",
    "mutual_information",
    "pairwise_mi",
    "paper_indicator",
    "plot_dim_against_label",
    "plot_mad",
    "plot_mi",
    "plot_pairwise",
    "prepare",
    "read_labels",
    "read_latents",
    "read_spectrum",
    "restore",
    "save_model",
    "simulate",
    "summarize",
    "write_archive",
    "write_latents",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'latentscope' has no attribute {name!r}")
    value = getattr(import_module(f"latentscope.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
