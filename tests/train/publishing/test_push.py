import json

import pytest
import torch
from typer.testing import CliRunner

from latentscope.errors import ChoiceError, LatentscopeWarning, ModelError
from latentscope.models.weights import check_model, load_model
from train.card import UNWRITTEN
from train.commands import app
from train.publishing import push

# Uploads by LFS, the way around Xet that this hub knows, warn of their own use of the HTTP library.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def written(folder):
    """A model folder whose author has said what the model cannot do."""
    card = folder / "README.md"
    card.write_text(card.read_text().replace(UNWRITTEN, "Anything but noise."))
    return folder


def test_a_pushed_model_loads_from_the_hub(hub, written, tmp_path):
    (written / "notes.txt").write_text("mine")
    (written / "picture.png").write_bytes(b"png")
    pushed = push(written, "me/tiny")
    assert hub.commits == [
        (
            "me/tiny",
            "main",
            ["README.md", "config.json", "model.safetensors", "picture.png",
             "reference.safetensors"],
        )
    ]  # fmt: skip
    assert pushed.url == f"{hub.url}/me/tiny/commit/{hub.commit_id('me/tiny', 'main')}"
    assert pushed.files["picture.png"] == 3
    assert not hub.private["me/tiny"]
    here, there = load_model(written), load_model("me/tiny", cache_dir=tmp_path / "cache")
    assert there.info == here.info
    for one, other in zip(here.parameters(), there.parameters(), strict=True):
        assert torch.equal(one, other)
    assert check_model("me/tiny", cache_dir=tmp_path / "cache") < 1e-6


def test_pushing_again_changes_what_changed_and_keeps_the_rest(hub, written, tmp_path):
    push(written, "me/tiny")
    (written / "README.md").write_text((written / "README.md").read_text() + "\nMore.\n")
    push(written, "me/tiny")
    assert len(hub.commits) == 2
    puts = [path for command, path in hub.log if command == "PUT"]
    assert len(puts) == len(set(puts)) == 2  # weights and reference, once each
    assert load_model("me/tiny", cache_dir=tmp_path / "cache").info["name"] == "tiny"


def test_a_branch_is_made_and_main_stays(hub, written, tmp_path):
    pushed = push(written, "me/tiny", revision="v2")
    assert pushed.repository == "me/tiny@v2"
    assert hub.branches["me/tiny", "main"] == {}
    assert load_model("me/tiny@v2", cache_dir=tmp_path / "cache").info["name"] == "tiny"
    push(written, "me/tiny", revision="v2")


def test_a_private_model_is_private_from_the_start(hub, written, tmp_path, monkeypatch):
    push(written, "me/secret", private=True)
    assert hub.private["me/secret"]
    assert load_model("me/secret", cache_dir=tmp_path / "cache").info["name"] == "tiny"
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ModelError, match="cannot be had from Hugging Face"):
        load_model("me/secret", cache_dir=tmp_path / "other")


def test_private_is_not_forgotten_where_a_public_repository_is_there(hub, written):
    push(written, "me/tiny")
    with pytest.raises(ModelError, match="is public"):
        push(written, "me/tiny", private=True)
    assert len(hub.commits) == 1


def test_a_dry_run_asks_nobody(hub, written, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    pushed = push(written, "me/tiny", dry_run=True)
    assert pushed.url is None
    assert set(pushed.files) == {
        "README.md", "config.json", "model.safetensors", "reference.safetensors"
    }  # fmt: skip
    assert hub.log == []


@pytest.mark.parametrize(
    ("token", "repository", "message"),
    [
        (None, "me/tiny", "no Hugging Face token: run `hf auth login`"),
        ("expired", "me/tiny", "Invalid user token.*token is not valid"),
        ("reads", "me/tiny", "rights to write.*take one with write permission"),
        ("writes", "others/tiny", "rights to write.*take one with write permission"),
    ],
)
def test_what_the_hub_refuses_is_told(token, repository, message, hub, written, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    if token is not None:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(ModelError, match=message):
        push(written, repository)
    assert hub.commits == []


def test_a_reader_of_a_repository_that_is_there_may_not_write(hub, written, monkeypatch):
    push(written, "me/tiny")
    monkeypatch.setenv("HF_TOKEN", "reads")
    with pytest.raises(ModelError):
        push(written, "me/tiny")
    assert len(hub.commits) == 1


def test_a_hub_out_of_order_leaves_no_commit(hub, written):
    hub.broken = {"/api/models/me/tiny/commit/main"}
    with pytest.raises(ModelError, match=r"500.*push again"):
        push(written, "me/tiny")
    assert hub.branches["me/tiny", "main"] == {}


def test_a_card_that_the_hub_does_not_take_is_told(hub, written):
    hub.metadata_error = "pipeline_tag is unknown"
    with pytest.raises(ModelError, match="pipeline_tag is unknown"):
        push(written, "me/tiny")


@pytest.mark.parametrize("name", ["tiny", "me/tiny/v2", "https://hub/me/tiny", "me/", "../x"])
def test_what_is_no_repository_is_told_before_anything_else(name, tmp_path):
    with pytest.raises(ChoiceError, match="ORG/NAME"):
        push(tmp_path, name)


def test_a_folder_that_is_not_whole_is_not_pushed(hub, written, tmp_path):
    with pytest.raises(ModelError, match="no such file"):
        push(tmp_path / "absent", "me/tiny")
    reference = (written / "reference.safetensors").read_bytes()
    (written / "reference.safetensors").unlink()
    with pytest.raises(ModelError):
        push(written, "me/tiny")
    (written / "reference.safetensors").write_bytes(reference)
    (written / "README.md").unlink()
    with pytest.raises(ModelError, match=r"README\.md: no such file"):
        push(written, "me/tiny")
    assert hub.log == []


def test_an_unwritten_card_is_pushed_with_a_warning(hub, folder):
    with pytest.warns(LatentscopeWarning):
        push(folder, "me/tiny")
    assert len(hub.commits) == 1


def test_the_command_line_pushes(hub, written):
    done = CliRunner().invoke(app, ["push", str(written), "me/tiny", "--json"])
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["repository"] == "me/tiny"
    assert told["url"].startswith(hub.url)
    assert "latentscope encode spectra/ -m me/tiny" in done.stderr


def test_a_dead_network_is_one_line(written, hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    done = CliRunner().invoke(app, ["push", str(written), "me/tiny"])
    assert done.exit_code == 1
    assert "look at the network connection" in done.stderr
    assert len(done.stderr.splitlines()) == 1
