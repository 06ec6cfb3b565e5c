import numpy as np
import pytest
import torch

from latentscope.errors import ChoiceError, LatentscopeError, ModelError
from train.data.simulated import SimulatedStream
from train.data.sources import Mixture, data_of


@pytest.fixture
def mixed(configured, labelled, data_folder):
    """Function (simulated, **data): a mixture that is set up."""

    def made(simulated=0.5, **data):
        archive = {"path": str(labelled), "validation": 0.4, "split_seed": 1, "window_mb": 0.01}
        config = configured(archive=archive, mixture={"simulated": simulated}, **data)
        mixture = data_of(config, data_folder)
        mixture.setup()
        return mixture

    return made


@pytest.mark.parametrize(("simulated", "number"), [(0.5, 3), (0.66, 4), (0.2, 1)])
def test_every_batch_holds_so_many_of_each(mixed, simulated, number):
    mixture = mixed(simulated)
    assert isinstance(mixture, Mixture)
    rows = mixture.simulated.rows
    archive = mixture.packed.archive
    seen = []
    for batch in mixture.train_dataloader():
        kinds = batch.numbers % 2
        assert kinds.tolist() == [0] * number + [1] * (6 - number)
        own = batch.numbers.numpy() // 2
        assert np.array_equal(batch.rows[:number].numpy(), rows[own[:number]].astype("f4"))
        packed, _ = archive.read(own[number:])
        assert np.array_equal(batch.rows[number:].numpy(), packed.astype("f4"))
        assert batch.valid[:number].all()
        assert not batch.valid[number:].all()
        seen.append(batch.numbers)
    assert len(seen) == 10 == len(mixture.train_dataloader())
    # Each kind goes through all of its own spectra before one comes again.
    counts = np.bincount(torch.cat(seen).numpy())
    trained = np.isin(np.arange(21), mixture.packed.draw.members)
    packed = np.append(counts[1::2], np.zeros(21, int))[:21]
    assert packed[~trained].sum() == 0
    assert np.ptp(packed[trained]) <= 1


@pytest.mark.slow
def test_a_stream_takes_the_place_of_the_simulated_archive(mixed, configured, tmp_path):
    stream = data_of(configured(stream=True), tmp_path)
    mixture = mixed(stream={"ahead": 0, "mean_rows": 3}, validation=2)
    assert type(mixture.simulated) is type(stream) is SimulatedStream
    batch = next(iter(mixture.train_dataloader()))
    assert (batch.numbers // 2)[:3].tolist() == [0, 1, 2]
    assert batch.ivar is None  # the packed spectra have none
    assert batch.valid.shape == batch.rows.shape == (6, 520)
    assert mixture.names([4])[0].startswith("simulated: star 2 of seed 3")
    assert mixture.validation_labels["simulated"].sum() == 2
    assert mixture.provenance["simulated"]["archive"] == "simulated while training"
    assert mixture.provenance["simulated"]["spectra"] == 30


def test_names_say_of_which_kind_a_spectrum_is(mixed):
    mixture = mixed()
    named = mixture.names(torch.tensor([8, 7]))
    assert named[0] == "simulated: star 4 of seed 3"
    assert named[1].startswith("packed: HARPS.0003_s1d_A (")


def test_processes_and_interrupted_runs_see_the_same(mixed, trainer):
    mixture = mixed(0.66)
    whole = list(mixture.train_dataloader())
    for rank in range(2):
        mixture.trainer = trainer(3, rank, 2)
        for part, batch in zip(mixture.train_dataloader(), whole[3:], strict=True):
            assert torch.equal(part.numbers, batch.numbers[rank::2])
            assert torch.equal(part.rows, batch.rows[rank::2])
            assert torch.equal(part.valid, batch.valid[rank::2])
    mixture = mixed(0.5)
    mixture.trainer = trainer(0, 0, 2)
    with pytest.raises(ChoiceError, match="3 spectra a batch for 2 processes"):
        next(iter(mixture.train_dataloader()))


def test_both_kinds_are_validated_and_told_apart(mixed):
    mixture = mixed()
    labels, first = mixture.validation_labels, len(mixture.simulated.validation_rows)
    n = len(mixture.validation_rows)
    assert n == len(labels) == len(mixture.validation_valid) > first
    assert labels["simulated"].tolist() == [1.0] * first + [0.0] * (n - first)
    assert np.isfinite(labels["radvel"][:first]).all()
    assert labels["radvel"][first:].isna().all()
    assert np.array_equal(mixture.validation_rows[first:], mixture.packed.validation_rows)
    assert np.array_equal(mixture.validation_valid[first:], mixture.packed.validation_valid)
    assert mixture.validation_valid[:first].all()
    said = mixture.provenance
    assert said["spectra_a_batch"] == {"simulated": 3, "packed": 3}
    assert said["simulated"] == mixture.simulated.provenance
    assert said["packed"] == mixture.packed.provenance
    assert said["labels_used"] is False
    assert mixture.epoch_steps == mixture.packed.epoch_steps


def test_means_are_of_both(mixed):
    mixture = mixed()
    blocks = list(mixture.sample(4))
    assert [valid is None for _, valid in blocks] == [True, False] * (len(blocks) // 2)
    assert all(rows.shape[1] == 520 for rows, _ in blocks)


def test_a_checkpoint_knows_the_packed_archive(mixed):
    mixture = mixed()
    state = mixture.state_dict()
    mixture.load_state_dict(state)
    state["packed"] = {"archive_sha256": "another"}
    with pytest.raises(ModelError):
        mixture.load_state_dict(state)


def test_a_mixture_is_shifted_as_a_whole(mixed):
    plain, shifted = mixed(), mixed(doppler={"spread": 300.0})
    for batch, source in zip(shifted.train_dataloader(), plain.train_dataloader(), strict=True):
        assert torch.equal(batch.numbers, source.numbers)
        assert (batch.rows[:, :512] != source.rows[:, :512]).any(1).all()
    assert shifted.names([8]) == plain.names([8])
    assert "+-300 km/s" in shifted.provenance["doppler_shifts"]


def test_what_does_not_go_together_is_said(configured, labelled, tmp_path):
    for simulated in (0.0, 1.0, -1):
        with pytest.raises(LatentscopeError, match="simulated is"):
            configured(mixture={"simulated": simulated})
    with pytest.raises(ModelError, match="needs a packed archive"):
        data_of(configured(mixture=True), tmp_path)
    with pytest.raises(ChoiceError):
        data_of(configured(mixture={"simulated": 0.01}, archive=str(labelled)), tmp_path)
    with pytest.raises(ModelError, match="`archive` and `stream`"):
        data_of(configured(stream=True, archive=str(labelled)), tmp_path)
    with pytest.raises(ModelError):
        data_of(configured(run={"loss": "ivar"}), tmp_path)
