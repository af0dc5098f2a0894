"""Bodies that break a parser: mistakes of every class, planted into a body that is right.

The classes are those of "Parsing JSON is a Minefield" (Seriot, 2016): numbers, strings, objects,
arrays, structure, encoding. Everything is made here, from the body and a seed.
"""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

NUMBERS = [
    "-1",
    "-",
    "--",
    "++1",
    "+1",
    "-01",
    "01",
    "012",
    "-012",
    "1.",
    "-1.",
    ".1",
    "-.1",
    ".-1",
    "1.e1",
    "0.e1",
    ".2e-3",
    "0.1.2",
    "1e",
    "1E",
    "1e+",
    "1E-",
    "1.0e",
    "1.0e+",
    "0e",
    "0e+",
    "1eE2",
    "1e1.5",
    "1_0",
    "1x",
    "-1x",
    "0x1",
    "0x42",
    "0b1",
    "0o7",
    "1+2",
    "0+1",
    "1,5",
    "1;2",
    "NaN",
    "-NaN",
    "nan",
    "Inf",
    "-Inf",
    "Infinity",
    "+Infinity",
    "-Infinity",
    "1e400",
    "-1e400",
    "1e-400",
    "1e99999",
    "123456789012345678901234567890",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775809",
    "9223372036854775808",
    "1.7976931348623157e308",
    "1.8e308",
    "5e-324",
    "2e-324",
    "-0",
    "-0.0",
    "0.1e1",
    "1E5",
    "\uff12",
    "\u0663",
    "\u00b2",
    "1",
    "True",
    "False",
    "None",
    "undefined",
    "null",
    "nul",
    "nulll",
    "true",
    "false",
    "tru",
    "TRUE",
    "[]",
    "{}",
    "[1]",
    '{"a":1}',
    "[[]]",
    '"1"',
    '"NaN"',
    '""',
    '"null"',
]

STRINGS = [
    rb'"\x00"',
    rb'"\a"',
    rb'"\0"',
    rb'"\ "',
    rb'"\u"',
    rb'"\u1"',
    rb'"\u12"',
    rb'"\u123"',
    rb'"\u00zz"',
    rb'"\U0001F600"',
    rb'"\u{1F600}"',
    rb'"\uD800"',
    rb'"\uDC00"',
    rb'"\uD800\uD800"',
    rb'"\uD800\u"',
    rb'"\uDC00\uD800"',
    rb'"\uD800\n"',
    rb'"\uD83D\uDE00"',
    rb'"\u0000"',
    rb'"\u001f\u007f"',
    rb'"\uFFFE\uFFFF"',
    rb'"\u202e\u2028\u2029"',
    rb'"\\\"\/\b\f\n\r\t"',
    b'"\\',
    b'"',
    b"'x'",
    b"x",
    b'"x',
    b'x"',
    b'"""',
    b'"\t"',
    b'"\n"',
    b'"\r\n"',
    *(b'"%c"' % byte for byte in range(0x20)),
    b'"\x7f"',
    *(b'"%c"' % byte for byte in range(0x80, 0x100, 5)),
    b'"\xc0\x80"',
    b'"\xc0\xaf"',
    b'"\xe0\x80\xaf"',
    b'"\xed\xa0\x80"',
    b'"\xed\xa0\x80\xed\xb0\x80"',
    b'"\xf0\x80\x80\x80"',
    b'"\xf4\x90\x80\x80"',
    b'"\xf8\x88\x80\x80\x80"',
    b'"\xe2\x82"',
    b'"\xef\xbb\xbf"',
    '"\u202etest \u2066\u2069"'.encode(),
    '"\U0001f469\U0001f3fd\u200d\U0001f680"'.encode(),
    b'"' + "\u0300".encode() * 500 + b'"',
    b'"' + b"x" * 20_000 + b'"',
]

WHOLES = [
    b" ",
    b"\n",
    b"\x0c",
    b"\xe2\x81\xa0",
    b"[",
    b"]",
    b"{",
    b"}",
    b"[]]",
    b"{}}",
    b"[[]",
    b"[}",
    b"{]",
    b"[,]",
    b"[1,,2]",
    b"[1 2]",
    b"{,}",
    b"{1:1}",
    b"{'a':1}",
    b"{a:1}",
    b'{"a"}',
    b'{"a":}',
    b'{:"a"}',
    b'{"a" "b"}',
    b'{"a"::1}',
    b'{"a":1 "b":2}',
    b'{"a":1,"a":2}',
    b'{"":0}',
    b'{"\\ud800":1}',
    b"<!doctype html>",
    b"<a></a>",
    b"a=1&b=2",
    b"--1\r\nContent-Disposition: form-data\r\n\r\n",
    b"\x1f\x8b\x08\x00",
    b"\x80\x81\x82",
    b"%7B%7D",
    b"//x\n{}",
    b"/* x */{}",
    b"#!\n{}",
    b"{}//",
    b"{}#",
    b"{}\x00",
    b"\x00{}",
    b"\xef\xbb\xbf{}",
    b"\xef\xbb\xbf",
    b"\xff\xfe{\x00}\x00",
    b"\xfe\xff\x00{\x00}",
    "{}".encode("utf-32"),
    b"[" * 60_000,
    b"[" * 60_000 + b"]" * 60_000,
    b'{"a":' * 60_000 + b"1" + b"}" * 60_000,
    b'[{"":' * 30_000,
    b'"' * 50_000,
    b"\\" * 50_000,
    b"," * 50_000,
    b"1" * 50_000,
    b"-" * 50_000,
    b'{"a":"' + b"\\u0000" * 8_000 + b'"}',
]


def malformed(body: dict[str, Any], seed: int) -> Iterator[bytes]:
    """Return bodies with mistakes; many are made of a body that is right, a few are right."""
    yield from WHOLES
    names = list(body)
    for place, value in enumerate([*(number.encode() for number in NUMBERS), *STRINGS]):
        yield value
        yield b"[" + value + b"]"
        for field in {names[place % len(names)], names[(7 * place + seed) % len(names)]}:
            yield _planted(body, field, value)
    yield from _broken(json.dumps(body).encode(), random.Random(seed))


def _planted(body: dict[str, Any], field: str, value: bytes) -> bytes:
    """Return the body with other bytes for the value of one field."""
    parts = [
        json.dumps(name).encode() + b":" + (value if name == field else json.dumps(kept).encode())
        for name, kept in body.items()
    ]
    return b"{" + b",".join(parts) + b"}"


def _broken(body: bytes, chance: random.Random) -> Iterator[bytes]:
    """Return a body cut off, with a byte less, with a byte more, with two bytes exchanged."""
    for place in range(0, len(body), 3):
        yield body[:place]
        yield body[:place] + body[place + 1 :]
        yield body[:place] + chance.choice(b'[]{},:"\\\x00\xff').to_bytes() + body[place:]
        swapped = bytearray(body)
        other = chance.randrange(len(body))
        swapped[place], swapped[other] = swapped[other], swapped[place]
        yield bytes(swapped)
