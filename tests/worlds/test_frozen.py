"""Features of a network that stays as it is: made once, kept, and only of weights that are its own."""

from pathlib import Path

import pytest
import torch
from downloads import waterbirds
from safetensors.torch import save_file
from torchvision import models

from invtutor.runs.recipe import Recipe
from invtutor.runs.run import run
from invtutor.worlds import frozen
from invtutor.worlds.missing import DataError
from invtutor.worlds.photographs import Waterbirds


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INVTUTOR_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    waterbirds(tmp_path)
    torch.manual_seed(0)
    save_file(models.resnet18().state_dict(), tmp_path / "resnet18.safetensors")
    return tmp_path


def features(**knobs: object) -> torch.Tensor:
    Waterbirds.open.cache_clear()
    album = Waterbirds(size=32, features="resnet18.safetensors", **knobs).load()
    return album.inputs(torch.arange(len(album.labels)))


def test_features_are_what_the_network_makes_of_photographs(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = features()
    assert found.shape == (74, 512) and found.dtype == torch.float32
    torch.manual_seed(0)
    network = models.resnet18().eval()
    network.fc = torch.nn.Identity()
    photographs = Waterbirds(size=32).load().inputs(torch.arange(5)) / 255
    scaled = (photographs - torch.tensor([[[0.485]], [[0.456]], [[0.406]]])) / torch.tensor(
        [[[0.229]], [[0.224]], [[0.225]]]
    )
    with torch.no_grad():
        torch.testing.assert_close(found[:5], network(scaled), rtol=1e-4, atol=1e-4)

    monkeypatch.setattr(frozen, "seen", lambda *_: pytest.fail("they are kept"))
    assert torch.equal(features(), found)
    photograph = next((root / Waterbirds.published).rglob("*.jpg"))
    photograph.write_bytes(photograph.read_bytes() + b" ")
    with pytest.raises(pytest.fail.Exception, match="they are kept"):  # another photograph, other features
        features()


def test_a_small_network_learns_from_features(root: Path) -> None:
    recipe = Recipe.profile("smoke", "irmv1", world="waterbirds", features="resnet18.safetensors", steps=4)
    trained = run(recipe, progress=False)
    assert trained.world.shape == (512,)
    assert 0 <= trained.metrics["test worst group"] <= trained.metrics["test"] <= 1


def test_weights_that_are_not_there_or_of_another_network(root: Path) -> None:
    def fails(name: str, message: str) -> None:
        album = Waterbirds(size=8, features=name).load()
        with pytest.raises(DataError, match=r"^The frozen network cannot be had: .*huggingface") as told:
            album.inputs(torch.tensor([0]))
        assert message in str(told.value) and "\n" not in str(told.value) and "; 47 MB)." in str(told.value)

    fails("no.safetensors", "there is no file")
    fails("/dev/zero", "there is no file /dev/zero")
    (root / "half.safetensors").write_bytes((root / "resnet18.safetensors").read_bytes()[:1000])
    fails("half.safetensors", "half.safetensors is damaged (")
    (root / "pickle.safetensors").write_bytes(b"\x80\x04K\x01.")
    fails("pickle.safetensors", "pickle.safetensors is damaged (")
    save_file({"fc.weight": torch.zeros(2, 2)}, root / "other.safetensors")
    fails("other.safetensors", "has not the weights of resnet18, resnet34, resnet50")
