"""The words of a page: headings of columns, captions of tables and of pictures."""

from latentscope.reporting.document import Column

COLUMNS = {
    "above_gap": Column("above the gap", hint="above the threshold estimated from the data"),
    "accuracy": Column("accuracy", interval=("accuracy_low", "accuracy_high")),
    "active": Column("active", hint="variance of the mean above 0.01, Burda et al. 2016"),
    "baseline": Column("without latents", hint="error of the median, or chance"),
    "carried_nats": Column("carries (nats)", error="carried_std_nats"),
    "carried_p_value": Column("p"),
    "changed": Column("changed", hint="q below 0.05"),
    "color_mag": Column("color (mag)"),
    "color_mag_per_sigma": Column(
        "color (mag per σ)", decimals=3, hint="like B - V, positive: redder"
    ),
    "correlation": Column("correlation", error="correlation_std"),
    "density_percentile": Column("density (percentile)", hint="0: emptier than all"),
    "depth_per_sigma": Column("depth per σ", error="depth_error"),
    "difference": Column("difference", error="std_difference"),
    "error": Column(
        "median error", interval=("error_low", "error_high"), hint="95 % over samples of stars"
    ),
    "ew_per_sigma": Column("equivalent width per σ (Å)", error="ew_error"),
    "gain_nats": Column("adds (nats)", error="std_nats"),
    "given": Column("known"),
    "high": Column("97.5 %", mixed=True),
    "informative": Column("informative", interval=("low", "high"), hint="MAD above the threshold"),
    "kl_nats": Column("KL (nats)", hint="of q(z|x) from a unit Gaussian, mean over rows"),
    "low": Column("2.5 %", mixed=True),
    "mad": Column("MAD", error="mad_std", hint="median absolute deviation, unscaled"),
    "meaning": Column("what it is"),
    "median": Column("median", error="median_std"),
    "metric": Column("measure"),
    "mi_nats": Column("knows (nats)", error="std_nats"),
    "n_groups": Column("stars", hint="independent rows"),
    "n_stars": Column("stars"),
    "p_value": Column("p"),
    "partner": Column("most with dim"),
    "partner_nats": Column("of it (nats)"),
    "pca": Column("PCA"),
    "percent": Column("percent", error="percent_std", hint="binomial error, of stars"),
    "q_value": Column("q", hint="false discovery rate over this table"),
    "r2": Column("R²", interval=("r2_low", "r2_high")),
    "recon_percentile": Column("error (percentile)", hint="% of the reference below it"),
    "rest_nats": Column("shares with the rest (nats)", error="rest_std_nats"),
    "rms": Column("flux change"),
    "rms_per_sigma": Column("flux change per σ", hint="relative, root mean square"),
    "rotation": Column("rotation", interval=("rotation_low", "rotation_high")),
    "rv_kms": Column("RV (km/s)", error="rv_error", hint="against the base"),
    "rv_kms_per_sigma": Column("RV (km/s per σ)", error="rv_error", hint="receding positive"),
    "rv_kms_per_unit": Column("(km/s per unit)", hint="independent of the spread of the data"),
    "shift_explained": Column("shift explains", decimals=3, hint="share of the lines' change"),
    "sigma": Column("σ of the data"),
    "slope": Column("slope", error="slope_error"),
    "total_nats": Column("together (nats)"),
    "trust": Column("trust", hint="chance that an ordinary spectrum looks as odd"),
    "value": Column("value", interval=("low", "high"), hint="95 % over samples of stars"),
    "wavelength": Column("wavelength (Å)", decimals=1),
    "whole": Column("on all (nats)"),
}
"""Columns that need more than their name, in any table."""

TABLES = {
    "quality": "Quality of the encoded spectra: median and the range that holds 95 % of the rows.",
    "verdicts": "How many spectra are like the training data.",
    "odd": "The rows that are trusted least. The command score writes all of them.",
    "mad": "Spread of each dimension, the widest first.",
    "order": "What each dimension adds to those chosen before it, in greedy order.",
    "exclusive": "What each dimension carries, and shares with the others; the most first.",
    "pairwise": "Mutual information of each pair of dimensions, the strongest first. 0: "
    "independent.",
    "metrics": "Measures over all labels: value [95 %], the same for random rotations [range] and "
    "for PCA.",
    "metrics_by_label": "The same, label by label.",
    "meanings": "The label that each dimension knows most of.",
    "mi": "Mutual information of dimensions with labels, the strongest first; in nats, ± standard "
    "error.",
    "readable": "How well each label is read on held-out stars; for classes the accuracy.",
    "left": "What dimensions share with labels beyond the label they know most of, in nats.",
    "effects": "What one sigma of the data does to the decoded spectrum, the largest change first.",
    "lines": "The lines that each dimension changes most, the first of each dimension first.",
    "traversals": "Each step of the traversals, against the base.",
    "observation": "Information on how spectra were observed, the most first; in nats, ± standard "
    "error.",
    "samples": "Informative dimensions [range over draws], and how many pairs of dimension and "
    "label differ from all rows.",
    "robustness": "Information on other samples, those that differ most from all rows first.",
}
"""What they show."""

PICTURES = {
    "trust": "Trust of every row, sorted: the chance that an ordinary spectrum looks as odd. "
    "Ordinary spectra follow the dashed line; rows below it are unlike the reference.",
    "spread": "Each stem is a dimension. Those above the dashed line are informative; unused ones "
    "stay near 0 for every spectrum.",
    "information": "Dimensions in the order in which each adds most to those before it. After the "
    "last significant one, nothing measurable is added.",
    "shared": "Every cell is a pair of dimensions. Gray cells are not significant; in a well "
    "separated network all of them are gray.",
    "scatter": "Each panel below the diagonal shows two dimensions{by}. Separate dimensions give "
    "clouds without a shape; bands, curves and empty corners are shared information.",
    "disentanglement": "Each measure beside that of other axes: random rotations of these latents "
    "and their principal components. Only a measure that beats both says that these axes matter.",
    "labels": "Rows are labels that the network never saw, columns are dimensions. Gray cells are "
    "not significant; a label that is dark in one column alone has a dimension of its own.",
    "drawn": "{name} and dimension {dim}, which knows most of it.",
    "readable": "Labels read on held-out stars, against the truth; below, the residuals.",
    "lines": "How much deeper (or shallower) the lines of each element become when a dimension "
    "grows by one sigma of the data.",
    "traversal": "{found}",
    "time": "Latents of the star with most exposures against time, and their periodograms.",
    "samples": "The same numbers on other samples of the same rows; where the marks of all "
    "samples agree, the result does not depend on the sample.",
    "other": "Mutual information of the dimensions of both, and what each knows of labels. Framed "
    "cells are dimensions that are matched.",
}
"""What to see in them."""

ALTS = {
    "trust": "Sorted trust of all rows against the share of rows with at most this trust.",
    "spread": "Stem plot of the median absolute deviation of each dimension.",
    "information": "What each dimension adds in nats, in order.",
    "shared": "Heatmap of mutual information among dimensions.",
    "scatter": "Scatter grid of dimensions {dims}{by}.",
    "disentanglement": "Measures of disentanglement beside two baselines.",
    "labels": "Heatmap of mutual information of labels with dimensions.",
    "drawn": "Dimension {dim} against {label}.",
    "readable": "Labels read from latents against their true values.",
    "lines": "Map of dimensions against elements, by change of line depth.",
    "traversal": "Decoded spectra for values of dimension {dim}, and what changes.",
    "time": "Dimensions of one star against time.",
    "samples": "Informative dimensions and information on other samples.",
    "other": "Matrix of the dimensions of both latents.",
}
"""What they show, for those who cannot see them."""
