import numpy as np
import pandas as pd
import pytest

from latentscope.diagnostics.mi.api import MIResult, PairwiseResult, mi_matrix, p_text
from latentscope.errors import ChoiceError


def table(values):
    labels, dims = len(values), len(values[0])
    return pd.DataFrame(
        {
            "label": np.repeat([f"l{i}" for i in range(labels)], dims),
            "dim": np.tile(np.arange(dims), labels),
            "mi_nats": np.ravel(values),
            "std_nats": 0.02,
            "p_value": 0.0001,
            "q_value": np.where(np.ravel(values) > 0.1, 0.001, 0.4),
            "n": 4090,
            "n_groups": 4090,
        }
    )


def test_maximum_marks_the_best_dimension_of_each_label():
    result = MIResult(table([[0.5, 0.25], [-0.01, -0.02], [0.1, np.nan]]), {})
    scaled = result.normalized("maximum")
    np.testing.assert_allclose(scaled, [[1, 0.5], [np.nan, np.nan], [1, np.nan]])


def test_the_correlation_scale_is_r_of_a_gaussian_pair():
    r = np.array([0.0, 0.3, 0.9])
    result = MIResult(table([[*(-0.5 * np.log(1 - r**2)), -0.04]]), {})
    np.testing.assert_allclose(result.normalized("correlation"), [[0, 0.3, 0.9, 0]], atol=1e-12)


def test_entropy_is_that_of_the_classes_that_have_latents():
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(1200, 2))
    latents[1000:] = np.nan
    frame = pd.DataFrame({"v": rng.normal(size=1200), "same": "giant", "kind": "late"})
    frame.loc[:1000, "kind"] = np.where(latents[:1001, 0] > 0, "giant", "dwarf")
    frame.loc[:999, "same"] = "dwarf"
    with pytest.warns(UserWarning, match="constant"):
        result = mi_matrix(latents, frame)
    share = np.mean(latents[:1000, 0] > 0)
    entropy = -share * np.log(share) - (1 - share) * np.log(1 - share)
    assert result.entropies["kind"] == pytest.approx(entropy)
    assert result.entropies["same"] == 0
    assert np.isnan(result.entropies["v"])
    scaled = result.normalized("entropy")
    assert scaled.loc["kind", 0] == pytest.approx(1, abs=0.03)
    assert scaled.loc[["v", "same"]].isna().all(axis=None)


def test_other_kinds_are_refused():
    with pytest.raises(ChoiceError, match=r"softmax.*maximum, correlation, entropy"):
        MIResult(table([[1.0]]), {}).normalized("softmax")


def test_significant_pairs_strongest_first():
    result = MIResult(table([[0.2, 1.51], [0.05, np.nan]]), {})
    assert result.sentences(significant=True) == [
        "dim 1: l0 1.51 ± 0.02 nats, p < 0.001, n = 4,090",
        "dim 0: l0 0.20 ± 0.02 nats, p < 0.001, n = 4,090",
    ]
    assert len(result.sentences()) == 3
    assert list(result.significant["mi_nats"]) == [1.51, 0.2]


def test_small_errors_are_written_out():
    frame = table([[1.5123]]).assign(std_nats=0.0024)
    assert MIResult(frame, {}).sentences()[0].startswith("dim 0: l0 1.512 ± 0.002 nats")
    frame = frame.assign(std_nats=0.0)
    assert "1.5123 ± 0.0000" in MIResult(frame, {}).sentences()[0]


def test_p_values_in_words():
    assert [p_text(p) for p in (1e-5, 0.004, 0.23, np.nan)] == [
        "p < 0.001",
        "p < 0.01",
        "p = 0.23",
        "no p-value",
    ]


def test_results_draw_themselves():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    ax = MIResult(table([[0.2, 1.51]]), {}).plot()
    assert [text.get_text() for text in ax.texts] == ["0.20", "1.51"]
    pairs = table([[0.3]]).rename(columns={"dim": "dim_x"}).assign(dim_y=4)
    other = plt.subplots()[1]
    assert PairwiseResult(pairs, {}).plot(other) is other
    assert [text.get_text() for text in other.texts] == ["-", "0.30", "0.30", "-"]
    plt.close("all")
