import torch

from latentscope.models.network import SpectrumVAE
from train.learning.module import average_of, averaged, take_average


def model_of(config, seed):
    torch.manual_seed(seed)
    return SpectrumVAE(config.architecture, config.prepare)


def weights(model):
    return {key: value.clone() for key, value in model.state_dict().items()}


def test_the_average_is_the_recursion_of_its_decay(config):
    model = model_of(config, 0)
    average = average_of(model, 0.9)
    steps = [weights(model_of(config, seed)) for seed in (1, 2, 3)]
    expected = steps[0]
    for step in steps:
        model.load_state_dict(step)
        average.update_parameters(model)
    for step in steps[1:]:
        expected = {key: 0.9 * value + 0.1 * step[key] for key, value in expected.items()}
    own = weights(model)
    with averaged(model, average):
        seen = weights(model)
    for key, value in expected.items():
        assert torch.allclose(seen[key], value, atol=1e-7), key
    assert all(torch.equal(own[key], value) for key, value in weights(model).items())
    take_average(model, average)
    assert all(torch.equal(seen[key], value) for key, value in weights(model).items())
    with averaged(model, average):  # begun anew: no second average of the average
        assert all(torch.equal(seen[key], value) for key, value in weights(model).items())


def test_before_its_first_update_there_is_no_average(config):
    model = model_of(config, 0)
    average = average_of(model, 0.9)
    model.load_state_dict(model_of(config, 1).state_dict())
    own = weights(model)
    with averaged(model, average):
        assert all(torch.equal(own[key], value) for key, value in weights(model).items())
    with averaged(model, None):
        assert all(torch.equal(own[key], value) for key, value in weights(model).items())
