"""The measures, what each asks, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass

MEAN = "mean"
"""What the table calls the row of a measure over all labels, or of the latents as a whole."""


@dataclass(frozen=True)
class Measure:
    """One line of the table's headlines.

    Parameters
    ----------
    metric, estimator : str
        As the table names them.
    title : str
        As a person says it.
    question : str
        What it measures, in words.
    lower_is_better : bool
    of_axes : bool
        Whether it depends on the choice of axes, so that baselines are something to beat.
    bounded : bool
        Whether 1 is perfect; else it is in nats.
    """

    metric: str
    estimator: str
    title: str
    question: str
    lower_is_better: bool = False
    of_axes: bool = True
    bounded: bool = True

    @property
    def key(self) -> tuple[str, str]:
        """What finds it in the table."""
        return self.metric, self.estimator


_AHEAD = "how far the best dimension of a label is ahead of the second best"

MEASURES = (
    Measure("mig", "binned", "MIG (binned)", f"{_AHEAD}, as a share of the label's entropy"),
    Measure("mig", "knn", "MIG (kNN)", f"{_AHEAD}, as a share of the label's entropy"),
    Measure("sap", "linear", "SAP", f"{_AHEAD}, for straight lines"),
    Measure(
        "dci_disentanglement",
        "forest",
        "DCI disentanglement",
        "whether a dimension serves one label only",
    ),
    Measure(
        "dci_completeness",
        "forest",
        "DCI completeness",
        "whether a label is served by one dimension only",
    ),
    Measure("modularity", "binned", "Modularity (binned)", "whether a dimension knows one label"),
    Measure("modularity", "knn", "Modularity (kNN)", "whether a dimension knows one label"),
    Measure(
        "dci_informativeness",
        "forest",
        "DCI informativeness",
        "how much of the labels a forest predicts from all dimensions",
        of_axes=False,
    ),
    Measure(
        "explicitness",
        "logistic",
        "Explicitness",
        "how well straight borders tell labels apart, 0.5 being chance",
        of_axes=False,
    ),
    Measure(
        "total_correlation",
        "gaussian",
        "Total correlation (Gaussian)",
        "what the dimensions share in straight lines, in nats; PCA has none by construction",
        lower_is_better=True,
        of_axes=False,
        bounded=False,
    ),
    Measure(
        "total_correlation",
        "knn",
        "Total correlation (kNN)",
        "what the dimensions share in any way, in nats",
        lower_is_better=True,
        bounded=False,
    ),
)
