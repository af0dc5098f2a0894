"""Whole numbers as PostgreSQL reads and sends an array in binary: all at once, not one by one.

Importing it loads PostgreSQL's driver, which an installation on SQLite does not wait for.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
from psycopg.adapt import Dumper, Loader
from psycopg.pq import Format

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray
    from psycopg.abc import Buffer
    from sqlalchemy import Connection

_INT8_OID, _INT8_ARRAY_OID = 20, 1016
_HEADER = struct.Struct(">iiIii")
"""Dimensions, whether any is null, type of the elements; length, number of the first."""
_ELEMENT = np.dtype([("length", ">i4"), ("value", ">i8")])


class Int8Array:
    """An array of type ``int8[]`` as a parameter."""

    def __init__(self, values: Iterable[int]) -> None:
        """Lay out the values: an array, or anything that yields whole numbers."""
        array = values if isinstance(values, np.ndarray) else np.fromiter(values, np.int64)
        body = np.empty(len(array), dtype=_ELEMENT)
        body["length"], body["value"] = 8, array
        self.binary = _HEADER.pack(1, 0, _INT8_OID, len(array), 1) + body.tobytes()


class _Int8ArrayDumper(Dumper):
    format = Format.BINARY
    oid = _INT8_ARRAY_OID

    def dump(self, obj: Int8Array) -> bytes:
        return obj.binary


class _Int8ArrayLoader(Loader):
    """Loads an array of one dimension without a null in it."""

    format = Format.BINARY

    def load(self, data: Buffer) -> NDArray[np.int64]:
        return np.frombuffer(data, _ELEMENT, offset=_HEADER.size)["value"].astype(np.int64)


def register(connection: Connection) -> None:
    """Let a connection take such parameters, and give such arrays."""
    driver: Any = connection.connection.driver_connection
    driver.adapters.register_dumper(Int8Array, _Int8ArrayDumper)
    driver.adapters.register_loader(_INT8_ARRAY_OID, _Int8ArrayLoader)
