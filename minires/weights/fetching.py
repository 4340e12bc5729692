"""`weights.fetch`: a weight file by its name, its address or its path."""

from __future__ import annotations

import os
import re
from pathlib import Path

from minires.errors import WeightsError
from minires.files import cache_folder
from minires.weights import published
from minires.weights.messages import brief, printable
from minires.weights.published import Published

_MOST_SHOWN = 3  # names that are like an unknown one
_SUFFIXES = (".pth", ".pt", ".th", ".safetensors", ".npz", ".bin", ".ckpt", ".onnx")  # no name of weights ends so


def fetch(source: str | os.PathLike[str], sha256: str | None = None, *, download: bool = True) -> Path:
    """The path of a weight file, which is downloaded if need be; `weights.load` reads it.

    Args:
        source: the name of published weights ("resnet18-imagenet", "timm/resnet18.a1_in1k", "microsoft/resnet-50": the
            table in docs/interop.md), an https:// address, or the path of a file. A name is no path: a file that is
            called like one is given as ./name.
        sha256: the checksum that the file must have, in hexadecimal, or at least its first 8 digits. An address needs
            one, here or behind it (https://…/net.safetensors#sha256=…).
        download: whether anything may be downloaded.

    A download is kept in the user's cache ($MINIRES_CACHE, else ~/.cache/minires), shows its progress, goes on where an
    earlier one broke off, and has its final name only when its checksum is right. That is `sha256`; else the published
    one: torchvision's digits, or the SHA-256 that the hub tells. The hub's shows a damaged download, but not that the
    publisher has replaced the weights since: pass `sha256` to have the same file for ever. A file that is in the cache
    already is compared with `sha256` alone.

    Raises WeightsError, in one line, for a name that is not known, with those like it; for a network that MiniRes does
    not have; for a file that is missing; without a network, saying which file belongs where. Raises it or DataError for
    another checksum.
    """
    text = os.fspath(source)
    text, sha256 = _with_fragment(text, _checked_digits(sha256))
    if _is_address(text):
        return _of_address(text, sha256, download)
    row = find(text)
    if row is None:
        return _of_path(text, sha256)
    if row.file.is_file():
        return _verified(row.file, sha256)
    digits = sha256 or row.digits
    _download(row.address, digits, row.file, f"the weights {row.name}", download, None if digits else row)
    return row.file


def find(name: str | os.PathLike[str]) -> Published | None:
    """The published weights of a name; None if there are none. Raises WeightsError for those of another network."""
    text = os.fspath(name).replace(os.sep, "/")
    row = published.table().get(text)
    if row is None and text.startswith("timm/") and "\0" not in text and not Path(text).exists():
        raise WeightsError(unknown(text))
    return row


def is_address(source: str | os.PathLike[str]) -> bool:
    """Whether `source` is an address on the web."""
    return _is_address(os.fspath(source))


def unknown(name: str, others: tuple[str, ...] = ()) -> str:
    """The message for a name that neither weights nor a file have; `others`: further names that are known."""
    import difflib

    shown, reason = printable(name[:200]), published.refusal(name) if name.startswith("timm/") else None
    if reason:
        return f"the weights {shown} are not known: {reason}"
    if name.lower().endswith(_SUFFIXES):
        return f"cannot load {shown}: there is no such file"
    names = (*others, *published.table())
    like = difflib.get_close_matches(name, names, _MOST_SHOWN, 0.75)
    meant = f"did you mean {' or '.join(like)}? " if like else ""
    return (
        f"cannot load {shown}: there is no such file, and no weights have that name: {meant}There are "
        f"{''.join(f'{each}, ' for each in others)}resnet18-imagenet, resnet50-imagenet-v2, timm/resnet18.a1_in1k, "
        "microsoft/resnet-50 and more like these (docs/interop.md)"
    )


# -- checksums --------------------------------------------------------------------------------------------------------


def _checked_digits(sha256: str | None) -> str | None:
    if sha256 is None:
        return None
    digits = str(sha256).lower().removeprefix("sha256:").removeprefix("sha256=")
    if not re.fullmatch(r"[0-9a-f]{8,64}", digits):
        raise WeightsError(f"sha256 {brief(sha256)} is not 8 to 64 hexadecimal digits")
    return digits


def _with_fragment(text: str, sha256: str | None) -> tuple[str, str | None]:
    """(address without fragment, checksum) of "https://…#sha256=…"; everything else as it is."""
    if not _is_address(text) or "#" not in text:
        return text, sha256
    address, _, fragment = text.partition("#")
    if not fragment.startswith("sha256="):
        raise WeightsError(f"{printable(text[:200])}: what follows # must be sha256=…")
    found = _checked_digits(fragment)
    if sha256 is not None and sha256 != found:
        raise WeightsError(f"{printable(address[:200])} is given two checksums, {found} and {sha256}")
    return address, found


def _verified(file: Path, sha256: str | None) -> Path:
    """The file itself. Raises WeightsError if it has not the checksum that was asked for."""
    if sha256 is not None:
        from minires import transfer

        found = transfer.digest(file, "sha256")
        if not found.startswith(sha256):
            raise WeightsError(f"{file} has sha256 {found} instead of {sha256}: it is another file, or damaged")
    return file


# -- kinds of sources -------------------------------------------------------------------------------------------------


def _is_address(text: str) -> bool:
    return re.match(r"https?://", text) is not None


def _of_path(text: str, sha256: str | None) -> Path:
    path = Path(text)
    if "\0" in text:
        raise WeightsError(f"{brief(text)}: no file can have this name")
    if not path.exists():
        raise WeightsError(unknown(text))
    return _verified(path, sha256) if path.is_file() else path


def _of_address(address: str, sha256: str | None, download: bool) -> Path:
    from urllib.parse import unquote, urlsplit

    name = Path(unquote(urlsplit(address).path)).name
    if not name or "\0" in name:
        raise WeightsError(f"{printable(address[:200])} does not end in the name of a file")
    if sha256 is None:
        raise WeightsError(
            f"{printable(address[:200])}: give the SHA-256 that its publisher states, sha256=…, or behind the address "
            f"#sha256=…: without it nothing tells a damaged or exchanged file"
        )
    file = cache_folder() / "addresses" / sha256[:16] / name
    if file.is_file():
        return _verified(file, sha256)
    _download(address, sha256, file, f"the weights {name}", download)
    return file


def _download(
    address: str, digits: str | None, file: Path, what: str, allowed: bool, row: Published | None = None
) -> None:
    """Download a file with a checksum, else with the one that the hub tells of `row`. Raises WeightsError."""
    missing = f"{what} are not at {file},"
    if not allowed:
        raise WeightsError(
            f"{missing} and downloading is switched off: fetch {address} and put it there, under that name"
        )
    from minires import transfer  # here: Python's libraries for the network are many

    try:
        if row is not None:
            digits = _told_by_the_hub(row, file)
        transfer.fetch(address, str(digits), file, "sha256")
    except (OSError, transfer.HTTPException) as error:
        detail = getattr(error, "reason", None) or str(error) or repr(error)
        raise WeightsError(
            f"{missing} and downloading {address} failed ({detail}). Run it again to resume, or fetch that file "
            "elsewhere and put it there, under that name"
        ) from error


def _told_by_the_hub(row: Published, file: Path) -> str:
    """The SHA-256 in the Git LFS pointer of a file. Raises WeightsError if the hub answers anything else."""
    from minires import transfer

    text = transfer.text_of(row.record, 1024)
    found = re.search(r"^oid sha256:([0-9a-f]{64})$", text, re.MULTILINE)
    if found is None:
        raise WeightsError(
            f"the hub does not tell the checksum of {row.name} ({row.record} is no Git LFS pointer): pass sha256=…, or "
            f"fetch {row.address} and put it at {file}"
        )
    return found[1]
