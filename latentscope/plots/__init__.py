"""Pictures: each function takes a result (and `ax=None`) and returns the axes it drew on."""

from latentscope.plots.activity import plot_exclusive, plot_mad
from latentscope.plots.comparison import plot_comparison
from latentscope.plots.disentanglement import plot_metrics
from latentscope.plots.information import (
    plot_dim_against_label,
    plot_indicator,
    plot_mi,
    plot_pairwise,
)
from latentscope.plots.pairs import plot_pairs
from latentscope.plots.probe import plot_probe
from latentscope.plots.retrieval import plot_answers, plot_matched_spectra, plot_retrieval
from latentscope.plots.robustness import plot_robustness
from latentscope.plots.spectrum import plot_spectrum
from latentscope.plots.style import save_figure
from latentscope.plots.track import plot_track
from latentscope.plots.traversal import plot_line_map, plot_traversal
from latentscope.plots.trust import plot_trust

__all__ = [
    "plot_answers",
    "plot_comparison",
    "plot_dim_against_label",
    "plot_exclusive",
    "plot_indicator",
    "plot_line_map",
    "plot_mad",
    "plot_matched_spectra",
    "plot_metrics",
    "plot_mi",
    "plot_pairs",
    "plot_pairwise",
    "plot_probe",
    "plot_retrieval",
    "plot_robustness",
    "plot_spectrum",
    "plot_track",
    "plot_traversal",
    "plot_trust",
    "save_figure",
]
