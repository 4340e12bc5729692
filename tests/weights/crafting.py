"""Weight files assembled by hand: the ones that no honest program writes, and tests therefore need."""

from __future__ import annotations

import io
import pickle
import pickletools
import struct
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C


def value(plain: object) -> bytes:
    """Pickle instructions that push a plain value."""
    return pickletools.optimize(pickle.dumps(plain, protocol=2))[2:-1]


def name(dotted: str) -> bytes:
    """Instructions that push the global `dotted`."""
    module, _, attribute = dotted.rpartition(".")
    return b"c" + module.encode() + b"\n" + attribute.encode() + b"\n"


def call(dotted: str, *arguments: bytes) -> bytes:
    """Instructions that call the global `dotted`; each argument is given as the instructions that push it."""
    return name(dotted) + b"(" + b"".join(arguments) + b"tR"


def dictionary(items: Mapping[str, bytes]) -> bytes:
    """Instructions that push a dictionary."""
    return b"}(" + b"".join(value(key) + pushed for key, pushed in items.items()) + b"u"


def program(instructions: bytes) -> bytes:
    """A whole pickle."""
    return b"\x80\x02" + instructions + b"."


def tensor(
    key: object = "0",
    storage: str = "torch.FloatStorage",
    numel: object = 4,
    offset: object = 0,
    size: object = (4,),
    stride: object = (1,),
    view: Iterable[object] = (),
    metadata: bytes = b"",
) -> bytes:
    """Instructions that push a tensor, as torch.save writes them; by default a vector of storage "0"."""
    reference = b"(" + value("storage") + name(storage) + value(key) + value("cpu") + value(numel)
    reference += b"".join(value(item) for item in view) + b"tQ"
    rest = (value(offset), value(size), value(stride), value(False), call("collections.OrderedDict"), metadata)
    return call("torch._utils._rebuild_tensor_v2", reference, *rest)


FLOATS = struct.pack("<4f", 1.0, -2.0, 3.5, 0.25)


def zip_bytes(
    instructions: bytes,
    storages: Mapping[str, bytes] | None = None,
    extra: Mapping[str, bytes] | None = None,
    compression: int = zipfile.ZIP_STORED,
) -> bytes:
    """A checkpoint in PyTorch's zip format."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        archive.writestr("archive/data.pkl", program(instructions))
        for key, content in ({"0": FLOATS} if storages is None else storages).items():
            archive.writestr(f"archive/data/{key}", content)
        for member, content in (extra or {}).items():
            archive.writestr(f"archive/{member}", content)
    return stream.getvalue()


def legacy_bytes(instructions: bytes, storages: Mapping[str, tuple[int, bytes]] | None = None) -> bytes:
    """A checkpoint in PyTorch's legacy format; a storage is (claimed number of elements, bytes)."""
    storages = {"0": (4, FLOATS)} if storages is None else storages
    header = [program(value(MAGIC_NUMBER)), program(value(1001)), program(value({"little_endian": True}))]
    blocks = [struct.pack("<q", count) + content for count, content in storages.values()]
    return b"".join([*header, program(instructions), program(value(list(storages))), *blocks])


def written(folder: Path, content: bytes, file_name: str = "file.pth") -> Path:
    """The path of a new file with `content`."""
    path = folder / file_name
    path.write_bytes(content)
    return path
