"""See what a network learned from stellar spectra.

Files -> `Spectrum` -> pixel row on the model's grid -> model -> `Latents` -> diagnostics.

The names below are imported when they are first used, so that `import latentscope` alone loads
neither torch nor matplotlib nor astropy. Pictures are in `latentscope.plots`.
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
    from latentscope.data import Latents, read_labels, read_latents, write_latents
    from latentscope.diagnostics.activity import mad
    from latentscope.diagnostics.comparison import compare
    from latentscope.diagnostics.disentanglement import metrics
    from latentscope.diagnostics.exclusive import exclusive_information
    from latentscope.diagnostics.meaning import paper_indicator
    from latentscope.diagnostics.mi.api import mi_matrix, mutual_information, pairwise_mi
    from latentscope.diagnostics.probe import fit_probe, probe
    from latentscope.diagnostics.retrieval import Retriever
    from latentscope.diagnostics.robustness import robustness
    from latentscope.diagnostics.track import track
    from latentscope.explorer.serve import explore
    from latentscope.models.config import available_models
    from latentscope.models.encode import encode
    from latentscope.models.network import SpectrumVAE
    from latentscope.models.probes import apply_probe, read_probe, write_probe
    from latentscope.models.queries import retrieve
    from latentscope.models.reconstruction import reconstruct
    from latentscope.models.traversal import line_map, traverse
    from latentscope.models.trust import score
    from latentscope.models.weights import convert_checkpoint, load_model, save_model
    from latentscope.plots.spectrum import plot_spectrum
    from latentscope.reporting.report import report
    from latentscope.simulation.simulate import simulate
    from latentscope.spectra.prepare import PrepareConfig, prepare
    from latentscope.spectra.read import read_spectrum
    from latentscope.spectra.spectrum import Spectrum

__version__ = "0.1.0"

_NAMES_OF_MODULE = {
    "data": "Latents read_labels read_latents write_latents",
    "diagnostics.activity": "mad",
    "diagnostics.comparison": "compare",
    "diagnostics.disentanglement": "metrics",
    "diagnostics.exclusive": "exclusive_information",
    "diagnostics.meaning": "paper_indicator",
    "diagnostics.mi.api": "mi_matrix mutual_information pairwise_mi",
    "diagnostics.probe": "fit_probe probe",
    "diagnostics.retrieval": "Retriever",
    "diagnostics.robustness": "robustness",
    "diagnostics.track": "track",
    "explorer.serve": "explore",
    "models.config": "available_models",
    "models.encode": "encode",
    "models.network": "SpectrumVAE",
    "models.probes": "apply_probe read_probe write_probe",
    "models.queries": "retrieve",
    "models.reconstruction": "reconstruct",
    "models.traversal": "line_map traverse",
    "models.trust": "score",
    "models.weights": "convert_checkpoint load_model save_model",
    "plots.spectrum": "plot_spectrum",
    "reporting.report": "report",
    "simulation.simulate": "simulate",
    "spectra.prepare": "PrepareConfig prepare",
    "spectra.read": "read_spectrum",
    "spectra.spectrum": "Spectrum",
}
_HOME = {name: module for module, names in _NAMES_OF_MODULE.items() for name in names.split()}

__all__ = [
    "EstimatorError",
    "Latents",
    "LatentscopeError",
    "LatentscopeWarning",
    "ModelError",
    "PrepareConfig",
    "Retriever",
    "Spectrum",
    "SpectrumError",
    "SpectrumVAE",
    "TableError",
    "__version__",
    "apply_probe",
    "available_models",
    "compare",
    "convert_checkpoint",
    "encode",
    "exclusive_information",
    "explore",
    "fit_probe",
    "line_map",
    "load_model",
    "mad",
    "metrics",
    "mi_matrix",
    "mutual_information",
    "pairwise_mi",
    "paper_indicator",
    "plot_spectrum",
    "plots",
    "prepare",
    "probe",
    "read_labels",
    "read_latents",
    "read_probe",
    "read_spectrum",
    "reconstruct",
    "report",
    "retrieve",
    "robustness",
    "save_model",
    "score",
    "simulate",
    "track",
    "traverse",
    "write_latents",
    "write_probe",
]


def __getattr__(name: str) -> Any:
    if name == "plots":
        return import_module("latentscope.plots")
    if name not in _HOME:
        raise AttributeError(f"module 'latentscope' has no attribute {name!r}")
    value = getattr(import_module(f"latentscope.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
