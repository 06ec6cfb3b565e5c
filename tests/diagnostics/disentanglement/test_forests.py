import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

from latentscope.diagnostics.disentanglement_measures import held_out_importance


def fitted(kind, z, y, **options):
    return kind(20, min_samples_leaf=5, random_state=0, **options).fit(z, y)


def trees_of(forest):
    return [tree.tree_ for tree in forest.estimators_]


@pytest.mark.parametrize("kind", [ExtraTreesRegressor, RandomForestRegressor])
@pytest.mark.parametrize("outputs", [1, 3])
def test_importances_add_up_to_the_covariance_of_prediction_and_truth(kind, outputs):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(400, 4)).astype(np.float32)
    y = z[:, :1] @ rng.normal(size=(1, outputs)) + 0.5 * rng.normal(size=(400, outputs))
    forest = fitted(kind, z[:200], np.squeeze(y[:200]))
    importance = held_out_importance(trees_of(forest), z[200:], y[200:])
    centred = y[200:] - y[200:].mean(axis=0)
    predicted = forest.predict(z[200:]).reshape(200, -1)
    wanted = (predicted * centred).sum() / (centred**2).sum()
    assert importance.sum() == pytest.approx(wanted, rel=1e-9)
    assert importance.argmax() == 0


def test_dimensions_that_tell_nothing_have_none_however_noisy_the_label():
    """Importance counted where trees learn would give them a third of it."""
    rng = np.random.default_rng(1)
    z = rng.normal(size=(3000, 6)).astype(np.float32)
    y = (z[:, 2] + 2 * rng.normal(size=3000))[:, None]
    forest = fitted(ExtraTreesRegressor, z[:1500], y[:1500, 0])
    importance = held_out_importance(trees_of(forest), z[1500:], y[1500:])
    assert importance[2] == pytest.approx(0.2, abs=0.05)
    assert np.abs(np.delete(importance, 2)).max() < 0.02
    assert np.delete(forest.feature_importances_, 2).sum() > 0.3
