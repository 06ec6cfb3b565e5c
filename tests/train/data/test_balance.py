from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentscope.errors import ChoiceError, TableError
from train.data.packed import Draw, binned, split_by_star, statement

NAMES = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=40)


@given(NAMES, NAMES, st.integers(0, 5))
def test_a_growing_archive_keeps_its_splits(old, new, seed):
    before = split_by_star(old, 0.3, 0.2, seed)
    after = split_by_star(new + old, 0.3, 0.2, seed)
    assert after[len(new) :].tolist() == before.tolist()
    by_star = {}
    for star, split in zip(new + old, after, strict=True):
        assert by_star.setdefault(star, split) == split


def test_splits_have_their_fractions_of_the_stars_whatever_the_exposures():
    stars = [f"HD{number}" for number in range(4000)]
    counts = Counter(split_by_star(stars, 0.2, 0.1, seed=1))
    assert counts["validation"] == pytest.approx(800, abs=4 * 25)
    assert counts["test"] == pytest.approx(400, abs=4 * 19)
    assert split_by_star(stars, 0.2, 0.1, 1).tolist() != split_by_star(stars, 0.2, 0.1, 2).tolist()
    # A larger validation split takes in the smaller one.
    small = split_by_star(stars, 0.1) == "validation"
    assert (split_by_star(stars, 0.2)[small] == "validation").all()


def test_the_split_of_a_name_is_for_ever():
    # `printf 0:gl581 | sha256sum` begins with add4, the others' with fbd7 and 7ee1.
    splits = split_by_star(["gl581", "hd140283", "hd10700"], 0.5, 0.2)
    assert splits.tolist() == ["test", "train", "validation"]


@pytest.mark.parametrize("fractions", [(0.6, 0.4), (-0.1, 0), (0.1, -0.1)])
def test_splits_leave_something_to_train_on(fractions):
    with pytest.raises(ChoiceError, match="sum below 1"):
        split_by_star(["a"], *fractions)


def test_every_spectrum_once():
    draw = Draw(np.arange(5, 50), seed=0)
    assert len(draw) == 45
    assert sorted(draw.epoch(3)) == list(range(5, 50))


def test_one_spectrum_per_star_and_each_exposure_in_its_turn():
    stars = np.repeat(np.array(["a", "b", "c"], object), [1, 4, 16])
    draw = Draw(np.arange(100, 121), 3, stars)
    drawn = [draw.epoch(number) for number in range(800)]
    for epoch in drawn:
        assert sorted(stars[epoch - 100]) == ["a", "b", "c"]
    counts = np.bincount(np.concatenate(drawn) - 100)
    assert counts[0] == 800
    assert np.allclose(counts[1:5], 200, atol=5 * 12.3)
    assert np.allclose(counts[5:], 50, atol=5 * 6.9)
    assert np.array_equal(Draw(np.arange(100, 121), 3, stars).epoch(7), drawn[7])


@pytest.mark.parametrize("weights", [{}, {0: 2.0}, {1: 0.0, 2: 5.0}])
def test_bins_get_their_shares_of_every_epoch(weights):
    bins = np.repeat([0, 1, 2], [600, 250, 50])
    draw = Draw(np.arange(900), 1, bins=bins, weights=weights)
    shares = np.array([weights.get(place, 1.0) for place in range(3)])
    wanted = 900 * shares / shares.sum()
    for epoch in (draw.epoch(number) for number in range(5)):
        assert len(epoch) == len(draw) == 900
        assert np.allclose(np.bincount(bins[epoch], minlength=3), wanted, atol=50)
        times = np.bincount(epoch, minlength=900)
        expected = (wanted / [600, 250, 50])[bins]
        assert (np.abs(times - expected) < 1).all()  # rounded down or up
    mean = np.mean([np.bincount(bins[draw.epoch(e)], minlength=3) for e in range(100)], axis=0)
    assert np.allclose(mean, wanted, atol=6)


def test_one_per_star_and_flat_in_a_label():
    stars = np.array([f"s{n % 90}" for n in range(900)], object)
    bins = np.array([0 if n % 90 < 80 else 1 for n in range(900)])
    draw = Draw(np.arange(900), 0, stars, bins)
    epoch = draw.epoch(0)
    assert len(epoch) == len(draw) == 90
    assert abs(np.bincount(bins[epoch])[0] - 45) <= 10
    assert len(set(stars[epoch[bins[epoch] == 1]])) == 10


def test_bins_of_numbers_and_of_text():
    assert binned([0.0, 1.0, 9.99, 10.0, np.nan], 10).tolist() == [0, 1, 9, 9, -1]
    assert binned([1.0, 2.0, 3.0, 4.0, 0.0], [1, 2, 4]).tolist() == [0, 1, 1, 1, -1]
    assert binned(np.array(["K", "F", None, "K"], object), 3).tolist() == [1, 0, -1, 1]
    assert binned([2.0, 2.0], 3).min() >= 0
    for bins in (0, [1.0], [2.0, 1.0]):
        with pytest.raises(ChoiceError, match="wanted"):
            binned([1.0, 2.0], bins)


def test_nothing_to_draw_is_an_error():
    with pytest.raises(TableError, match="no spectrum"):
        Draw(np.empty(0, np.int64), 0)
    with pytest.raises(ChoiceError, match="not all 0"):
        Draw(np.arange(3), 0, bins=np.zeros(3, int), weights={0: 0.0}).epoch(0)


def test_provenance_says_it_in_words():
    plain = {"one_per_star": False, "label": None, "bins": 10, "weights": None}
    assert statement(plain) == "every spectrum once per epoch"
    assert statement(plain | {"one_per_star": True}) == "one spectrum per star per epoch"
    assert "equal shares of the bins of Teff" in statement(plain | {"label": "Teff"})
