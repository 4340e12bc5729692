"""Reads a zip archive as named byte arrays, without copying.

torch.save and np.savez write zip archives whose members are stored uncompressed, so their bytes can be memory-mapped.
An archive may make false claims about sizes, offsets and names, so they are checked against the file.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from typing import IO

import numpy as np

from minires.errors import WeightsError
from minires.weights.elements import Array
from minires.weights.messages import brief, reason

_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, ..., length of the name, length of the extra field
_UTF8 = 0x800  # the flag for names in UTF-8
_END_OF_DIRECTORY = b"PK\x05\x06"

# Weights hardly compress; deflate reaches 1000:1, so a small file could fill the memory.
_MAX_EXPANSION = 20
_ALWAYS_ALLOWED = 64 * 2**20

_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError, EOFError, ValueError)


class ZipRecords:
    """The members of the archive `file`, whose bytes are `content` (n,) uint8, normally a memory map.

    Raises WeightsError for an archive that is truncated, encrypted, ambiguous (two members with one name, bytes before
    or after it) or a zip bomb (members that overlap, or expand too far).
    """

    def __init__(self, file: IO[bytes], content: Array) -> None:
        self._content = content
        try:
            self._archive = zipfile.ZipFile(file)
        except _ZIP_ERRORS as error:
            raise WeightsError(f"a zip archive that is truncated or damaged ({reason(error)})") from error
        members = self._archive.infolist()
        self._members = {member.filename: member for member in members}
        if len(self._members) != len(members):
            raise WeightsError("a zip archive with two members of the same name")
        self._check_extent()
        self._check_sizes()

    @property
    def names(self) -> list[str]:
        """The members' names, in the order of the archive's directory."""
        return list(self._members)

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def read(self, name: str) -> Array:
        """The bytes (n,) uint8 of a member: mapped if it is stored, a copy if it is compressed.

        Raises WeightsError if it is missing or damaged.
        """
        member = self._members.get(name)
        if member is None:
            raise WeightsError(f"the archive lacks {brief(name)}")
        if member.compress_type == zipfile.ZIP_STORED:
            raw = self._stored_bytes(member)
            # PyTorch can be configured to omit the checksum; it then writes 0.
            if member.CRC and zlib.crc32(raw.data) != member.CRC:
                raise WeightsError(f"{brief(name)} is damaged: its checksum does not match")
            return raw
        try:
            return np.frombuffer(self._archive.read(member), dtype=np.uint8)
        except (*_ZIP_ERRORS, OSError) as error:
            raise WeightsError(f"{brief(name)} is truncated or damaged ({reason(error)})") from error

    def _stored_bytes(self, member: zipfile.ZipInfo) -> Array:
        """The bytes of a stored member; only the header directly before them shows where they start."""
        header = self._content[member.header_offset : member.header_offset + _LOCAL_HEADER.size].tobytes()
        if len(header) != _LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
            raise WeightsError(f"the archive's directory points {brief(member.filename)} at the wrong place")
        _, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        name_start = member.header_offset + _LOCAL_HEADER.size
        name = self._content[name_start : name_start + name_length].tobytes()
        if name.decode("utf-8" if member.flag_bits & _UTF8 else "cp437", "replace") != member.orig_filename:
            raise WeightsError(f"the archive's directory gives {brief(member.filename)} another name than it has")
        start = name_start + name_length + extra_length
        raw = self._content[start : start + member.file_size]
        if raw.size != member.file_size or member.file_size != member.compress_size:
            raise WeightsError(f"{brief(member.filename)} reaches beyond the end of the file")
        return raw

    def _check_extent(self) -> None:
        """Check that the archive is the whole file: nothing precedes its first member or follows its end record."""
        end = self._content[-22 - len(self._archive.comment) :][:4].tobytes()
        first = min((member.header_offset for member in self._members.values()), default=0)
        if end != _END_OF_DIRECTORY or first != 0:
            raise WeightsError("a zip archive with bytes before or after it that do not belong to it")

    def _check_sizes(self) -> None:
        """Check that the members fit the file: if their sum is larger, they overlap; compressed ones expand little.

        The claimed size of a compressed member counts, because that much memory is allocated before it is read.
        """
        stored = expanded = packed = 0
        for member in self._members.values():
            if member.flag_bits & 1:
                raise WeightsError("an encrypted zip archive")
            if member.compress_type == zipfile.ZIP_STORED:
                stored += member.file_size
            elif member.compress_type == zipfile.ZIP_DEFLATED:
                expanded += member.file_size
                packed += member.compress_size
            else:
                raise WeightsError(f"{brief(member.filename)} is compressed in a way that weight files do not use")
        size = self._content.size
        if stored + packed > size or expanded > _ALWAYS_ALLOWED + _MAX_EXPANSION * size:
            claimed = stored + max(expanded, packed)
            raise WeightsError(f"a zip archive of {size:,} bytes that claims to hold {claimed:,}")
