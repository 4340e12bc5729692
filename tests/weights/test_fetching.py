"""weights.fetch: names, addresses and paths; a download is checked; what is missing says where it belongs."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from minires import weights
from minires.errors import DataError, WeightsError
from minires.weights import fetching, published

FACTS = json.loads(Path(__file__).with_name("fixtures").joinpath("timm.json").read_text())  # timm 1.0.31's own table
NAME = "timm/resnet18.a1_in1k"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIRES_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def content(tmp_path):
    weights.save(tmp_path / "some.safetensors", {"a": np.arange(100_000.0)})
    return (tmp_path / "some.safetensors").read_bytes()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def pointer(content):
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256(content)}\nsize {len(content)}\n".encode()


@pytest.fixture
def hub(site, content, monkeypatch):
    """A server that has timm's file as the hub has it: the file, and a record of its checksum."""
    monkeypatch.setattr(published, "HUB", f"{site.address}/")
    site.files[f"{NAME}/resolve/main/model.safetensors"] = content
    site.files[f"{NAME}/raw/main/model.safetensors"] = pointer(content)
    return site


# -- the table --------------------------------------------------------------------------------------------------------


def test_the_table_has_the_facts_of_timm():
    """Every plain ResNet with a classifier that timm publishes, its size, crop, filter and colours; and no other."""
    ours = {name: row for name, row in published.table().items() if name.startswith("timm/")}
    assert ours.keys() == {f"timm/{name}" for name in FACTS["ours"]}
    for name, (size, part, interpolation, mean, std) in FACTS["ours"].items():
        row = ours[f"timm/{name}"]
        assert (row.model, row.size, row.interpolation) == (name.split(".")[0], size, interpolation), name
        assert (row.resize, row.mean, row.std) == (math.floor(size / part), tuple(mean), tuple(std)), name


@pytest.mark.parametrize("name", FACTS["others"])
def test_the_other_resnets_of_timm_are_refused(name):
    with pytest.raises(WeightsError, match=r"which MiniRes's ResNets have not|no weights have that name"):
        weights.fetch(f"timm/{name}")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("timm/resnet50d.a1_in1k", "a stem of three convolutions"),
        ("timm/seresnet50.a1_in1k", "squeeze-and-excitation"),
        ("timm/resnetaa50.a1h_in1k", "downsampling that is smoothed"),
        ("timm/resnet50_gn.a1h_in1k", "group norm"),
        ("timm/resnet18.a9_in1k", "did you mean timm/resnet18.a[123]_in1k or"),
        ("resnet18-imagenett", "did you mean resnet18-imagenet or"),
        ("nothing.pth", "cannot load nothing.pth: there is no such file$"),
        (
            "nothing",
            "cannot load nothing: there is no such file, and no weights have that name: There are resnet18-imagenet",
        ),
        ("a\0b", "no file can have this name"),
    ],
)
def test_an_unknown_name_says_which_there_are(name, says):
    with pytest.raises(WeightsError, match=says) as error:
        weights.fetch(name)
    assert "\n" not in str(error.value)


def test_torchvisions_names():
    row = published.table()["resnet50-imagenet-v2"]
    assert row.address == "https://download.pytorch.org/models/resnet50-11ad3fa6.pth"
    assert (row.digits, row.size, row.resize) == ("11ad3fa6", 224, 232)
    assert published.table()["resnet18-imagenet"].resize == 256


def test_all_names_have_files_of_their_own(cache):
    files = [row.file for row in published.table().values()]
    assert len(set(files)) == len(files)
    for row in published.table().values():
        assert published.of_file(row.file) == row


# -- names ------------------------------------------------------------------------------------------------------------


def test_a_name_of_the_hub_is_fetched_once_and_checked(hub, cache, content):
    for _ in range(2):
        file = weights.fetch(NAME)
        assert file == cache / "timm" / "resnet18.a1_in1k.safetensors"
        assert file.read_bytes() == content
    assert [name.split("/")[2] for name, _ in hub.asked] == ["raw", "resolve"]


def test_a_checksum_of_the_user_replaces_the_hubs(hub, cache, content):
    assert weights.fetch(NAME, sha256(content)).read_bytes() == content
    assert [name.split("/")[2] for name, _ in hub.asked] == ["resolve"]
    with pytest.raises(WeightsError, match="instead of 00000000: it is another file, or damaged"):
        weights.fetch(NAME, sha256="00000000")


def test_another_file_than_the_hub_tells_is_not_kept(hub, cache, content):
    hub.files[f"{NAME}/resolve/main/model.safetensors"] = content[:-1] + b"x"
    with pytest.raises(DataError, match="the download is damaged"):
        weights.fetch(NAME)
    assert not list((cache / "timm").iterdir())


def test_a_hub_that_tells_no_checksum(hub, cache):
    hub.files[f"{NAME}/raw/main/model.safetensors"] = b"<html>"
    with pytest.raises(WeightsError, match=r"does not tell the checksum .*: pass sha256=…, or fetch http.* and put it"):
        weights.fetch(NAME)
    assert not cache.exists()


def test_a_broken_download_is_resumed(hub, cache, content):
    hub.breaks_after = 300_000
    with pytest.raises(WeightsError, match=r"the connection broke after 300,000 .*Run it again to resume"):
        weights.fetch(NAME, sha256(content))
    hub.breaks_after = None
    assert weights.fetch(NAME, sha256(content)).read_bytes() == content
    assert [wanted for _, wanted in hub.asked] == [None, "bytes=300000-"]


def test_torchvisions_digits_are_compared(site, cache, content, monkeypatch):
    monkeypatch.setattr(published, "TORCHVISION", f"{site.address}/")
    row = published.table()["resnet18-imagenet"]
    digits = sha256(content)[:8]
    place = f"resnet18-{digits}.pth"
    monkeypatch.setitem(published.table(), row.name, replace(row, digits=digits, place=place))
    site.files[place] = content
    assert weights.fetch("resnet18-imagenet") == cache / place
    monkeypatch.setitem(published.table(), row.name, row)
    site.files[row.place] = content
    with pytest.raises(DataError, match="instead of f37072fd"):
        weights.fetch("resnet18-imagenet")


@pytest.mark.parametrize(
    ("name", "file"), [("resnet18-imagenet", "resnet18-f37072fd.pth"), (NAME, f"{NAME}.safetensors")]
)
def test_without_a_network_the_error_says_which_file_belongs_where(name, file, cache, monkeypatch):
    for base in ("HUB", "TORCHVISION"):
        monkeypatch.setattr(published, base, "http://127.0.0.1:9/")
    with pytest.raises(WeightsError, match=r"failed .* fetch that file elsewhere and put it there, under") as error:
        weights.fetch(name)
    assert f"the weights {name} are not at {cache / file}, and downloading http://127.0.0.1:9/" in str(error.value)
    with pytest.raises(WeightsError, match="downloading is switched off: fetch http"):
        weights.fetch(name, download=False)
    (cache / file).parent.mkdir(parents=True, exist_ok=True)
    (cache / file).write_bytes(b"put there by hand")
    assert weights.fetch(name) == cache / file


# -- addresses and paths ----------------------------------------------------------------------------------------------


def test_an_address_with_a_checksum(site, cache, content):
    site.files["net.safetensors"] = content
    address = f"{site.address}/net.safetensors"
    first, second = weights.fetch(address, sha256(content)), weights.fetch(f"{address}#sha256={sha256(content)}")
    assert first == second
    assert first.name == "net.safetensors"
    assert np.array_equal(weights.load(first)["a"], np.arange(100_000.0))
    assert len(site.asked) == 1


@pytest.mark.parametrize(
    ("address", "checksum", "says"),
    [
        ("net.safetensors", None, r"give the SHA-256 that its publisher states"),
        ("net.safetensors", "f37072", "is not 8 to 64 hexadecimal digits"),
        ("net.safetensors", "f37072fd", "instead of f37072fd: the download is damaged"),
        ("net.safetensors#md5=1", None, r"what follows # must be sha256=…"),
        ("net.safetensors#sha256=f37072fd", "00000000", "is given two checksums"),
        ("nothing.pth", "f37072fd", r"failed \(HTTP Error 404|failed \(Not Found"),
        ("", "f37072fd", "does not end in the name of a file"),
    ],
)
def test_an_address_that_cannot_be_honoured(address, checksum, says, site, cache, content):
    site.files["net.safetensors"] = content
    with pytest.raises((WeightsError, DataError), match=says) as error:
        weights.fetch(f"{site.address}/{address}", checksum)
    assert "\n" not in str(error.value)


def test_a_path_is_itself(tmp_path, content):
    path = tmp_path / "some.safetensors"
    assert weights.fetch(path) == weights.fetch(str(path), sha256(content)[:12]) == path
    with pytest.raises(WeightsError, match="it is another file, or damaged"):
        weights.fetch(path, "00000000")


def test_a_file_that_is_called_like_weights_is_given_as_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("resnet18-imagenet").write_bytes(b"mine")
    assert weights.fetch("./resnet18-imagenet").read_bytes() == b"mine"
    assert fetching.find("./resnet18-imagenet") is None
