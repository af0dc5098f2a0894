"""Read a request: parameters in the query, in the JSON body, or in both; the body wins.

The body is read strictly, the query by what each field is, because a query has only texts.
What is wrong is said by field and rule; neither holds anything that the sender chose.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import unquote_plus

import msgspec
from msgspec import inspect

from schemas.errors import InvalidInput
from schemas.events import RULE_AWARE

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T", bound=msgspec.Struct)

_MOST_PARAMETERS = 64
_NUMBER = re.compile(r"[+-]?(\d{1,64}\.?\d{0,64}|\.\d{1,64})([eE][+-]?\d{1,4})?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_TRUTHS = {
    "True": True,
    "False": False,
    **dict.fromkeys(("true", "1", "yes", "on", "t", "y"), True),
    **dict.fromkeys(("false", "0", "no", "off", "f", "n"), False),
}

BODY = "body"
QUERY = "query"
RULE_JSON = "must be valid JSON"
RULE_UTF8 = "must be UTF-8"
RULE_TWICE = "must not be given twice"
RULE_UNKNOWN = "must not have unknown parameters"
RULE_OBJECT = "must be a JSON object"
RULE_DEEP = "must not be nested deeper than the fields need"


def _number(text: str) -> float | int:
    """Read a number with a point or an exponent; JSON knows no difference from a whole one."""
    value = float(text)
    return int(value) if value.is_integer() else value


decode_any = msgspec.json.Decoder(float_hook=_number).decode
"""Decodes JSON of any form; ``1.0`` is the whole number 1."""


def is_whole_float(error: msgspec.ValidationError) -> bool:
    """Tell whether a whole number may have been written as ``1.0``."""
    return str(error).startswith("Expected `int") and "got `float`" in str(error)


class Form(Generic[T]):
    """Reads requests of one type.

    Args:
        model: The type.
        bare: Field that a body holds as a whole when the rest is in the query, as a list or
            as a map of names that are no fields: the form of the first module.
    """

    def __init__(self, model: type[T], bare: str = "") -> None:
        self._model = model
        self._bare = bare
        self._decode = msgspec.json.Decoder(model).decode
        fields = msgspec.structs.fields(model)
        self._readers = {field.encode_name: _reader(field.type) for field in fields}
        self._optional = {field.encode_name for field in fields if field.default is None}

    def read(self, query: bytes, body: bytes) -> T:
        """Read a request.

        Raises:
            InvalidInput: Names the field and the rule that it breaks.
        """
        try:
            if not query:
                return self._read_body(body or b"{}")
            sent = self._parse(query)
            if body:
                sent.update(self._parse_body(body, sent))
            return msgspec.convert(sent, self._model)
        except (ValueError, RecursionError) as error:
            raise explain(error) from None

    def _read_body(self, body: bytes) -> T:
        try:
            return self._decode(body)
        except msgspec.ValidationError as error:
            if not is_whole_float(error):
                raise
            return msgspec.convert(decode_any(body), self._model)

    def _parse(self, query: bytes) -> dict[str, Any]:
        try:
            text = query.decode()
        except UnicodeDecodeError:
            raise InvalidInput(QUERY, RULE_UTF8) from None
        pairs = [pair.partition("=") for pair in text.split("&") if pair]
        if len(pairs) > _MOST_PARAMETERS:
            raise InvalidInput(QUERY, f"must have at most {_MOST_PARAMETERS} parameters")
        if "%" in text or "+" in text:
            pairs = [self._unquoted(key, value) for key, _, value in pairs]
        sent: dict[str, Any] = {}
        for name, _, value in pairs:
            reader = self._readers.get(name)
            if reader is None:
                raise InvalidInput(QUERY, RULE_UNKNOWN)
            if name in sent:
                sent[name] = _both(name, sent[name], reader, value)
            elif value or name not in self._optional:
                sent[name] = _read(name, reader, value)
        return sent

    def _unquoted(self, key: str, value: str) -> tuple[str, str, str]:
        field = QUERY
        try:
            key = _unquote(key)
            if key in self._readers:
                field = key
            return key, "", _unquote(value)
        except UnicodeDecodeError:
            raise InvalidInput(field, RULE_UTF8) from None

    def _parse_body(self, body: bytes, sent: dict[str, Any]) -> dict[str, Any]:
        content = decode_any(body)
        if self._bare and self._bare not in sent:
            if isinstance(content, list):
                return {self._bare: content}
            if (
                isinstance(content, dict)
                and content
                and content.keys().isdisjoint(self._readers)
                and "type" not in content
                and self._is_whole(sent)
            ):
                return {self._bare: content}
        if not isinstance(content, dict):
            raise InvalidInput(BODY, RULE_OBJECT)
        return content

    def _is_whole(self, sent: dict[str, Any]) -> bool:
        return all(
            field.encode_name in sent
            for field in msgspec.structs.fields(self._model)
            if field.required
        )


def _unquote(text: str) -> str:
    return unquote_plus(text, errors="strict") if "%" in text or "+" in text else text


def _both(name: str, before: Any, reader: Callable[[str], Any], value: str) -> Any:
    """Return the values of a parameter that is given again: a list has them all."""
    if reader is not _read_list:
        raise InvalidInput(name, RULE_TWICE)
    return [*before, *_read(name, reader, value)]


def _read(name: str, reader: Callable[[str], Any], value: str) -> Any:
    """Read a parameter; what is wrong with JSON in it is wrong with the parameter."""
    try:
        return reader(value)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(name, explain(error).rule) from None


def _reader(annotation: Any) -> Callable[[str], Any]:
    """Return what reads a field of a type from the text in a query.

    What cannot be read is handed on as it is: the type then says what it should have been.
    """
    kind = inspect.type_info(annotation)
    if isinstance(kind, inspect.UnionType):
        kind = next(one for one in kind.types if not isinstance(one, inspect.NoneType))
    match kind:
        case inspect.ListType():
            return _read_list
        case inspect.DictType():
            return decode_any
        case inspect.BoolType():
            return _read_truth
        case inspect.IntType():
            return _read_whole
        case inspect.FloatType():
            return _read_number
        case _:
            return str


def _read_truth(text: str) -> Any:
    truth = _TRUTHS.get(text)
    return _TRUTHS.get(text.lower(), text) if truth is None else truth


def _read_whole(text: str) -> Any:
    if _WHOLE.fullmatch(text):
        return int(text)
    return _number(text) if _NUMBER.fullmatch(text) else text


def _read_number(text: str) -> Any:
    return float(text) if _NUMBER.fullmatch(text) else text


def _read_list(text: str) -> Any:
    return decode_any(text) if text.startswith("[") else [text]


_KINDS = {
    "array": "a list",
    "bool": "true or false",
    "datetime": "a time",
    "float": "a number",
    "int": "a whole number",
    "object": "an object",
    "str": "a text",
    "uuid": "a UUID",
}
_BOUNDS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
_PATH = re.compile(r" - at (`key` in )?`\$([\w.\[\]]*)`$")
_MISSING = re.compile(r"Object missing required field `(\w+)`")
_BOUND = re.compile(r"Expected `[\w| ]+` (>=|<=|>|<) (-?[\d.]+(?:e[+-]?\d+)?)")
_LENGTH = re.compile(r"Expected `(\w+)[\w| ]*` of length (>=|<=) (\d+)")
_TYPE = re.compile(r"Expected `(\w+)[\w| ]*`")
_FIXED = {
    "Object contains unknown field": "must not have unknown fields",
    "Invalid UUID": "must be a UUID",
    "Invalid RFC3339": "must be a time as in RFC 3339",
    "Expected `datetime` with a timezone": RULE_AWARE,
    "Invalid value": "must be a type of event, and that of the route where it has one",
    "Invalid enum value": "must be one of the values in the documentation",
    "Number out of range": "must be a finite number",
    "Integer value out of range": "must be a finite number",
    "JSON is malformed": RULE_JSON,
    "Input data was truncated": RULE_JSON,
}


def explain(error: ValueError | RecursionError) -> InvalidInput:
    """Return the field and the rule that an error of the decoder speaks of, and nothing else."""
    if isinstance(error, RecursionError):
        return InvalidInput(BODY, RULE_DEEP)
    if isinstance(error, UnicodeError):
        return InvalidInput(BODY, RULE_UTF8)
    message = str(error)
    path = _PATH.search(message)
    field = _field(path) if path else BODY
    if missing := _MISSING.match(message):
        name = missing.group(1)
        return InvalidInput(name if field == BODY else f"{field}.{name}", "is required")
    rule = _rule(message)
    return InvalidInput(field, f"names: {rule}" if path and path.group(1) else rule)


def _field(path: re.Match[str]) -> str:
    return path.group(2).replace("[...]", "[]").lstrip(".") or BODY


def _rule(message: str) -> str:
    for start, rule in _FIXED.items():
        if message.startswith(start):
            return rule
    if bound := _BOUND.match(message):
        return f"must be {_BOUNDS[bound.group(1)]} {float(bound.group(2)):.15g}"
    if length := _LENGTH.match(message):
        unit = "characters" if length.group(1) == "str" else "entries"
        return f"must have {_BOUNDS[length.group(2)]} {length.group(3)} {unit}"
    if " matching regex " in message:
        return "must not have characters that are not allowed in it"
    if kind := _TYPE.match(message):
        return f"must be {_KINDS.get(kind.group(1), 'of another type')}"
    return "is not valid"
