"""Damaged versions of a file: flipped bits, cuts, and values that no reader expects. Each from its number alone."""

from __future__ import annotations

import json
import random
import re
from typing import Any

# Values in JSON as they are written, some of which no encoder writes.
ODD = [
    "null", "true", "false", "-1", "0", "1", "2",
    "1.5", "1e999", "-1e999", "NaN", "Infinity", "1e-320", "1" + "0" * 30,
    "9" * 5000, "-9223372036854775809", '""', '"x"', '"\\ud800"', '"\\u0000"', '"\\u001b[31m"', '"../../etc/passwd"',
    '"/dev/zero"', '"."', '".."', "[]", "{}", "[[]]", '{"a": 1}', "[" * 200_000, '{"a":' * 50_000,
    '"' + "x" * 100_000 + '"',
    '{"": ""}', "[null]", "[-1, 1e999]", '"nan"', '"1"', '"[UNK]"', '{"id": 0, "content": 1}',
]  # fmt: skip
_MARK = re.compile(r'"@odd:(\d+)@"')


def damaged(content: bytes, seed: int) -> bytes:
    """Bits flipped, bytes cut off, doubled, filled or put in between."""
    draw = random.Random(seed)
    data = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 8))):
        at = draw.randrange(max(len(data), 1))
        match draw.randrange(7):
            case 0 | 1 | 2 if data:
                data[at] ^= 1 << draw.randrange(8)
            case 3:
                del data[at:]
            case 4:
                del data[at : at + draw.choice((1, 2, 16))]
            case 5:
                data[at:at] = draw.randbytes(draw.choice((1, 4, 100)))
            case 6:
                others = (b"\0" * 8, b"\xff" * 8, b"\xef\xbb\xbf", b"\r\n", b"}{", b"  ", b"\x1b[2J")
                data[at : at + 8] = draw.choice(others)
    return bytes(data)


def odd_json(value: Any, seed: int) -> bytes:
    """JSON text of `value` with one or two places changed: another value, a key less, a key twice, a list longer."""
    draw = random.Random(seed)
    value = json.loads(json.dumps(value))
    for _ in range(draw.choice((1, 1, 2))):
        value = _changed(value, draw)
    text = json.dumps(value)
    if draw.randrange(8) == 0 and (keys := re.findall(r'"(\w+)": ', text)):
        text = text.replace("{", "{" + f'"{draw.choice(keys)}": {draw.choice(ODD)}, ', 1)
    text = _MARK.sub(lambda found: ODD[int(found[1])], text)
    return draw.choice(("", "", "", "\ufeff")).encode() + text.encode("utf-16" if draw.randrange(40) == 0 else "utf-8")


def _changed(value: Any, draw: random.Random) -> Any:
    """`value` with one node of it changed, drawn evenly from all levels."""
    odd = f"@odd:{draw.randrange(len(ODD))}@"
    if not isinstance(value, dict | list) or not value or draw.randrange(12) == 0:
        return odd
    if isinstance(value, list):
        k = draw.randrange(len(value))
        match draw.randrange(4):
            case 0:
                return value[:k] + value[k + 1 :]
            case 1:
                return [*value, *value[k:]]
        return [*value[:k], _changed(value[k], draw), *value[k + 1 :]]
    key = draw.choice(list(value))
    match draw.randrange(6):
        case 0:
            return {k: v for k, v in value.items() if k != key}
        case 1:
            return {**value, draw.choice(("x", "", "../x", "\x00", "[UNK]", "0", "-1", "__metadata__")): value[key]}
        case 2:
            return {**value, key: odd}
    return {**value, key: _changed(value[key], draw)}


def odd_toml(text: str, seed: int) -> bytes:
    """A TOML file with the values of one or two lines changed, or lines left out, doubled or exchanged."""
    draw = random.Random(seed)
    lines = text.splitlines()
    values = [
        "true", "-1", "0", "1", "1.5", "inf", "-inf", "nan", "1e999", "9" * 30, "9" * 5000, '""', '"x"', '"\\u0000"',
        "[]", "{}", "[1, 2]", '[["a"]]', "{a = 1}", "1979-05-27", '"../x"', '"/dev/zero"', "[" * 5000, "'''",
        "[0.9, 1e999]",
        '"adam"', "[0.9]", "[true, false]", "2", "3",
    ]  # fmt: skip
    for _ in range(draw.choice((1, 1, 2, 3))):
        k = draw.randrange(len(lines))
        match draw.randrange(6):
            case 0:
                del lines[k]
                lines = lines or [""]
            case 1:
                lines.insert(k, lines[draw.randrange(len(lines))])
            case _ if "=" in lines[k]:
                lines[k] = f"{lines[k].partition('=')[0]}= {draw.choice(values)}"
            case _:
                heads = ("[model]", "[[phases]]", "[phases]", "[x.y]", "x", "= 1", "[start]", "[[data]]")
                lines[k] = draw.choice(heads)
    return "\n".join(lines).encode()
