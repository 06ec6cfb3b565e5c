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
    from latentscope.data import Latents, align, read_labels, read_latents, write_latents
    from latentscope.diagnostics.activity import MADResult, mad
    from latentscope.diagnostics.disentanglement import MetricsResult, metrics
    from latentscope.diagnostics.exclusive import ExclusiveResult, exclusive_information
    from latentscope.diagnostics.mi.api import mi_matrix, mutual_information, pairwise_mi
    from latentscope.diagnostics.mi.indicator import paper_indicator
    from latentscope.diagnostics.mi.result import MIResult, PairwiseResult
    from latentscope.diagnostics.retrieval import RetrievalResult, Retriever, retrieve
    from latentscope.diagnostics.robustness import RobustnessResult, robustness
    from latentscope.diagnostics.traversal.line_map import LineMapResult, line_map
    from latentscope.diagnostics.traversal.traverse import TraversalResult, traverse
    from latentscope.diagnostics.trust import ScoreResult
    from latentscope.models.config import VAEConfig
    from latentscope.models.encode import encode
    from latentscope.models.network import SpectrumVAE
    from latentscope.models.queries import encode_queries
    from latentscope.models.registry import available_models
    from latentscope.models.traversal import line_map_of_model, traverse_model
    from latentscope.models.trust import score
    from latentscope.models.weights import convert_checkpoint, load_model, save_model
    from latentscope.plots.activity import plot_exclusive, plot_mad
    from latentscope.plots.dimension import plot_dim_against_label
    from latentscope.plots.disentanglement import plot_metrics
    from latentscope.plots.information import plot_mi, plot_pairwise
    from latentscope.plots.line_map import plot_line_map
    from latentscope.plots.matched_spectra import plot_matched_spectra
    from latentscope.plots.pairs import plot_pairs
    from latentscope.plots.retrieval import plot_retrieval
    from latentscope.plots.robustness import plot_robustness
    from latentscope.plots.traversal import plot_traversal
    from latentscope.plots.trust import plot_trust
    from latentscope.reporting.report import ReportResult, report
    from latentscope.simulation.simulate import simulate, write_archive
    from latentscope.spectra.prepare import PrepareConfig, prepare, restore
    from latentscope.spectra.read import read_spectrum
    from latentscope.spectra.spectrum import Spectrum
    from latentscope.spectra.summary import summarize
    from latentscope.spectra.wavelength import Grid

__version__ = "0.1.0"

_NAMES_OF_MODULE = {
    "diagnostics.activity": ("MADResult", "mad"),
    "diagnostics.mi.api": ("mi_matrix", "mutual_information", "pairwise_mi"),
    "diagnostics.mi.indicator": ("paper_indicator",),
    "diagnostics.exclusive": ("ExclusiveResult", "exclusive_information"),
    "diagnostics.mi.result": ("MIResult", "PairwiseResult"),
    "diagnostics.disentanglement": ("MetricsResult", "metrics"),
    "diagnostics.retrieval": ("RetrievalResult", "Retriever", "retrieve"),
    "diagnostics.robustness": ("RobustnessResult", "robustness"),
    "diagnostics.traversal.line_map": ("LineMapResult", "line_map"),
    "diagnostics.traversal.traverse": ("TraversalResult", "traverse"),
    "diagnostics.trust": ("ScoreResult",),
    "data": ("Latents", "align", "read_labels", "read_latents", "write_latents"),
    "models.config": ("VAEConfig",),
    "models.encode": ("encode",),
    "models.traversal": ("line_map_of_model", "traverse_model"),
    "models.trust": ("score",),
    "models.network": ("SpectrumVAE",),
    "models.queries": ("encode_queries",),
    "models.registry": ("available_models",),
    "models.weights": ("convert_checkpoint", "load_model", "save_model"),
    "plots.activity": ("plot_exclusive", "plot_mad"),
    "plots.dimension": ("plot_dim_against_label",),
    "plots.information": ("plot_mi", "plot_pairwise"),
    "plots.pairs": ("plot_pairs",),
    "plots.disentanglement": ("plot_metrics",),
    "plots.matched_spectra": ("plot_matched_spectra",),
    "plots.retrieval": ("plot_retrieval",),
    "plots.robustness": ("plot_robustness",),
    "plots.trust": ("plot_trust",),
    "plots.line_map": ("plot_line_map",),
    "plots.traversal": ("plot_traversal",),
    "reporting.report": ("ReportResult", "report"),
    "spectra.prepare": ("PrepareConfig", "prepare", "restore"),
    "spectra.read": ("read_spectrum",),
    "simulation.simulate": ("simulate", "write_archive"),
    "spectra.spectrum": ("Spectrum",),
    "spectra.summary": ("summarize",),
    "spectra.wavelength": ("Grid",),
}
_HOME = {name: module for module, names in _NAMES_OF_MODULE.items() for name in names}

__all__ = [
    "EstimatorError",
    "ExclusiveResult",
    "Grid",
    "Latents",
    "LatentscopeError",
    "LatentscopeWarning",
    "LineMapResult",
    "MADResult",
    "MIResult",
    "MetricsResult",
    "ModelError",
    "PairwiseResult",
    "PrepareConfig",
    "ReportResult",
    "RetrievalResult",
    "Retriever",
    "RobustnessResult",
    "ScoreResult",
    "Spectrum",
    "SpectrumError",
    "SpectrumVAE",
    "TableError",
    "TraversalResult",
    "VAEConfig",
    "__version__",
    "align",
    "available_models",
    "convert_checkpoint",
    "encode",
    "encode_queries",
    "exclusive_information",
    "line_map",
    "line_map_of_model",
    "load_model",
    "mad",
    "metrics",
    "mi_matrix",
    "mutual_information",
    "pairwise_mi",
    "paper_indicator",
    "plot_dim_against_label",
    "plot_exclusive",
    "plot_line_map",
    "plot_mad",
    "plot_matched_spectra",
    "plot_metrics",
    "plot_mi",
    "plot_pairs",
    "plot_pairwise",
    "plot_retrieval",
    "plot_robustness",
    "plot_traversal",
    "plot_trust",
    "prepare",
    "read_labels",
    "read_latents",
    "read_spectrum",
    "report",
    "restore",
    "retrieve",
    "robustness",
    "save_model",
    "score",
    "simulate",
    "summarize",
    "traverse",
    "traverse_model",
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
