"""Writes what `tomllib` reads; the standard library only does the reading."""

import json
import re

BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def dumps(table):
    """The TOML text of a table of plain values, arrays and sub-tables."""
    return "".join(_lines(table, path=()))


def _lines(table, path):
    values = {key: value for key, value in table.items() if not _is_section(value)}
    if path and (values or not table):
        yield f"\n[{'.'.join(map(_key, path))}]\n"
    for key, value in values.items():
        yield f"{_key(key)} = {_value(value)}\n"
    for key, value in table.items():
        if _is_section(value):
            yield from _lines(value, (*path, key))


def _is_section(value):
    return isinstance(value, dict)


def _key(key):
    return key if BARE_KEY.fullmatch(key) else json.dumps(key)


def _value(value):
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items()) + "}"
    # A JSON string, number or boolean is the same in TOML.
    return json.dumps(value)
