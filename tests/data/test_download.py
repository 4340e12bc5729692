"""Downloads from a server on this machine: whole, broken off, resumed, damaged, refused, impossible."""

from __future__ import annotations

import gzip
import hashlib
import re
import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from minires import data, transfer
from minires.data import cifar, idx
from minires.data.cifar import FOLDER, TEST_FILES, TRAIN_FILES
from minires.data.download import Remote, data_root, obtain
from minires.errors import DataError
from tests.data.samples import CIFAR_BATCH, IMAGES, LABELS, archive
from tests.data.samples import idx as as_idx
from tests.site import CONTENT


def fetch(remote: Remote, target: Path) -> None:
    transfer.fetch(remote.url, remote.md5, target)


# --- one file ------------------------------------------------------------------------------------------------------


def test_a_whole_download(site, tmp_path, capsys):
    fetch(site.remote("a.bin"), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]
    assert site.asked == [("a.bin", None)]
    out, err = capsys.readouterr()
    assert out == ""  # stdout belongs to the results of a command
    assert "a.bin" in err


def test_a_broken_connection_is_taken_up_where_it_stopped(site, tmp_path):
    remote, site.breaks_after = site.remote("a.bin"), 300_000
    with pytest.raises(OSError, match=r"broke after 300,000 of 700,000 bytes; run it again to resume"):
        fetch(remote, tmp_path / "a.bin")
    assert not (tmp_path / "a.bin").exists()
    assert (tmp_path / "a.bin.part").stat().st_size == 300_000
    site.breaks_after = None
    fetch(remote, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert not (tmp_path / "a.bin.part").exists()
    assert site.asked == [("a.bin", None), ("a.bin", "bytes=300000-")]


def test_a_server_that_cannot_resume_sends_everything_again(site, tmp_path):
    remote, site.ranges = site.remote("a.bin"), False
    (tmp_path / "a.bin.part").write_bytes(CONTENT[:1000])
    fetch(remote, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_part_that_is_already_whole(site, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(CONTENT)
    fetch(site.remote("a.bin"), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("stale", [b"something else" * 1000, CONTENT + b"too long"])
def test_a_part_of_something_else_costs_one_more_attempt(site, tmp_path, stale):
    (tmp_path / "a.bin.part").write_bytes(stale)
    fetch(site.remote("a.bin"), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert [wanted for _, wanted in site.asked] == [f"bytes={len(stale)}-", None]


def test_a_wrong_checksum_keeps_nothing(site, tmp_path):
    remote = site.remote("a.bin")
    site.files["a.bin"] = CONTENT[:-1] + b"\0"
    with pytest.raises(DataError, match=rf"a\.bin has md5 [0-9a-f]{{32}} instead of {remote.md5}.*was deleted"):
        fetch(remote, tmp_path / "a.bin")
    assert not list(tmp_path.iterdir())
    assert len(site.asked) == 1


def test_a_server_that_does_not_say_the_length(site, tmp_path):
    remote, site.says_length = site.remote("a.bin"), False
    fetch(remote, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_an_interrupt_keeps_what_came(site, tmp_path, monkeypatch):
    received = []

    def interrupted(source, target, *_):
        target.write(source.read(1000))
        received.append(1000)
        raise KeyboardInterrupt

    remote = site.remote("a.bin")
    with monkeypatch.context() as patch:
        patch.setattr(transfer, "_copy", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch(remote, tmp_path / "a.bin")
    fetch(remote, tmp_path / "a.bin")
    assert site.asked[-1] == ("a.bin", "bytes=1000-")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


# --- what the user is told -----------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_without_a_network_one_error_says_what_to_put_where(tmp_path):
    address = f"http://127.0.0.1:{free_port()}"
    missing = [Remote(f"{address}/one.gz", "0" * 32), Remote(f"{address}/two.gz", "1" * 32)]
    with pytest.raises(DataError) as caught:
        obtain("mnist", tmp_path / "MNIST", missing, download=True)
    text = str(caught.value)
    assert text.count("\n") == 0
    for part in ("mnist", f"{address}/one.gz", f"{address}/two.gz", str(tmp_path / "MNIST"), "MINIRES_DATA", "refused"):
        assert part in text


def test_a_server_that_cannot_be_reached_or_lacks_the_file_leaves_no_folder(site, tmp_path):
    for address in (f"http://127.0.0.1:{free_port()}", site.address):
        with pytest.raises(DataError, match="failed"):
            obtain("mnist", tmp_path / "root" / "MNIST", [Remote(f"{address}/gone.gz", "0" * 32)], download=True)
    assert not list(tmp_path.iterdir())


def test_a_missing_page_and_a_broken_connection_are_told_apart(site, tmp_path):
    gone = Remote(f"{site.address}/gone.gz", "0" * 32)
    with pytest.raises(DataError, match=r"downloading .*gone\.gz failed \(Not Found\)"):
        obtain("mnist", tmp_path, [gone], download=True)
    site.breaks_after = 10
    with pytest.raises(DataError, match=r"failed \(the connection broke after 10 of 700,000 bytes; run it again"):
        obtain("mnist", tmp_path, [site.remote("a.gz")], download=True)


def test_only_what_is_still_missing_is_asked_for(site, tmp_path):
    first, gone = site.remote("a.gz"), Remote(f"{site.address}/gone.gz", "0" * 32)
    with pytest.raises(DataError) as caught:
        obtain("mnist", tmp_path, [first, gone], download=True)
    assert "fetch " + gone.url + " elsewhere and put it into" in str(caught.value)
    assert (tmp_path / "a.gz").exists()


def test_a_folder_that_cannot_be_written(site, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"failed \(.*(File exists|Not a directory)"):
        obtain("mnist", tmp_path / "file", [site.remote("a.gz")], download=True)


def test_downloading_can_be_switched_off(tmp_path):
    for name, first in (("mnist", "train-images-idx3-ubyte.gz"), ("cifar10", "cifar-10-binary.tar.gz")):
        with pytest.raises(DataError, match=rf"{name} is not complete .*switched off.*https://.*{first}"):
            data.load(name, tmp_path / "new", download=False)
    assert not (tmp_path / "new").exists()


# --- whole data sets -----------------------------------------------------------------------------------------------


def test_mnist_from_its_address(site, tmp_path, monkeypatch):
    contents = {"images-idx3": gzip.compress(as_idx(IMAGES)), "labels-idx1": gzip.compress(as_idx(LABELS))}
    remotes = {f"t10k-{kind}-ubyte.gz": site.remote(f"t10k-{kind}-ubyte.gz", c) for kind, c in contents.items()}
    checksums = {name: remote.md5 for name, remote in remotes.items()}
    monkeypatch.setattr(idx, "MNIST", replace(idx.MNIST, address=site.address + "/", md5=checksums))
    test = data.load("mnist", tmp_path, train=False)
    np.testing.assert_array_equal(test.images[..., 0], IMAGES)
    assert sorted(path.name for path in (tmp_path / "MNIST").iterdir()) == sorted(remotes)
    data.load("mnist", tmp_path, train=False)
    assert len(site.asked) == 2  # nothing is downloaded twice


def test_cifar10_from_its_address(site, tmp_path, monkeypatch):
    archive(tmp_path / "made.tar.gz", {f"{FOLDER}/{name}": CIFAR_BATCH for name in TRAIN_FILES + TEST_FILES})
    content = (tmp_path / "made.tar.gz").read_bytes()
    monkeypatch.setattr(cifar, "ARCHIVE", site.remote("cifar-10-binary.tar.gz", content))
    root = tmp_path / "cache"
    assert len(data.load("cifar10", root, train=False)) == 10_000
    assert [path.name for path in root.iterdir()] == [FOLDER]  # the archive is not kept
    assert len(data.load("cifar10", root)) == 50_000
    assert len(site.asked) == 1


# --- where data lives ----------------------------------------------------------------------------------------------


def test_root_then_variable_then_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("MINIRES_DATA", str(tmp_path / "variable"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert data_root(tmp_path / "given") == tmp_path / "given"
    assert data_root("~/here") == tmp_path / "home" / "here"
    assert data_root() == tmp_path / "variable"
    monkeypatch.setenv("MINIRES_DATA", "")
    assert data_root() == tmp_path / "cache" / "minires"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert data_root() == tmp_path / "home" / ".cache" / "minires"


def test_the_published_checksums():
    """Typed once more from the publishers' pages and torchvision: a slip in either place shows."""
    assert cifar.ARCHIVE.md5 == "c32a1d4ab5d03f1284b67883e8d87530"
    remotes = [remote for part in (True, False) for remote in idx.MNIST.remotes(part)]
    assert [remote.md5[:8] for remote in remotes] == ["f68b3c2d", "d53e105e", "9fb629c4", "ec29112d"]
    assert all(re.fullmatch("[0-9a-f]{32}", remote.md5) for remote in remotes)


def test_the_checksums_of_fashion_mnist_are_those_of_the_data(data_root):
    for part in (True, False):
        for remote in idx.FASHION_MNIST.remotes(part):
            content = (Path(data_root) / "FashionMNIST" / remote.name).read_bytes()
            assert hashlib.md5(content).hexdigest() == remote.md5
