# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Damage to requests, the same for the same seed."""

from __future__ import annotations

import copy
import json
import pathlib
import random
import typing as t

#: Values that hardly any member of a request expects.
ODD_VALUES: tuple[t.Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 10**30, 1.5, 1e308, -0.0),
    *("", " ", "a", "a" * 3000, "\x00", "\n", "ä", "\U0001f600", "\ud800", "{}", "null", "../..", "%2e%2e", "%00", "*"),
    *("true", "1", "2026-01-01T00:00:00Z", "arn:aws:iam::111122223333:role/", "arn:aws:::::", "a-" + "0" * 17, "::::"),
    *([], {}, [None], [[]], [""], {"": ""}, {"a": None}, {"a": {"a": {"a": []}}}, [[[[[]]]]], [0] * 200),
)


class Damage:
    """A source of damage; everything follows from its seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def odd_value(self) -> t.Any:
        """A value to put where another is expected."""
        return copy.deepcopy(self.random.choice(ODD_VALUES))

    def odd_text(self) -> str:
        """An odd value that is a text."""
        return str(self.random.choice([value for value in ODD_VALUES if isinstance(value, str)]))

    def document(self, document: t.Any) -> t.Any:
        """A copy of a JSON document with one to three changes somewhere in it."""
        holder = {"": copy.deepcopy(document)}
        for _change in range(self.random.randint(1, 3)):
            self._change(holder)
        return holder[""]

    def body(self, body: bytes) -> bytes:
        """A copy of a body, damaged as a document where it is one, or as bytes."""
        if body and self.random.random() < 0.85:
            return json.dumps(self.document(json.loads(body))).encode()
        return self.bytes(body)

    def bytes(self, content: bytes) -> bytes:
        """A copy of some bytes: cut, repeated, or with some of them replaced."""
        kind = self.random.randrange(4)
        place = self.random.randint(0, len(content))
        if kind == 0:
            return content[:place]
        if kind == 1:
            return content[:place] + content
        changed = bytearray(content)
        for _byte in range(self.random.randint(1, 4)):
            place = self.random.randint(0, len(changed))
            changed[place : place + kind - 1] = self.random.randbytes(self.random.randint(0, 3))
        return bytes(changed)

    def _change(self, holder: t.Any) -> None:
        """Go down from the only member of the holder and change whatever the way ends at."""
        parent: t.Any = holder
        key: t.Any = ""
        while self.random.random() < 0.7:
            value = parent[key]
            if isinstance(value, dict) and value:
                parent, key = value, self.random.choice(sorted(value, key=str))
            elif isinstance(value, list) and value:
                parent, key = value, self.random.randrange(len(value))
            else:
                break
        kind = self.random.randrange(6)
        if kind == 0 and parent is not holder:
            del parent[key]
        elif kind == 1 and isinstance(parent[key], dict):
            parent[key][self.odd_text()] = self.odd_value()
        elif kind == 2 and isinstance(parent[key], str):
            parent[key] += self.odd_text()
        elif kind == 3:
            parent[key] = [parent[key]]
        else:
            parent[key] = self.odd_value()


class Footprint(t.NamedTuple):
    """What a process holds."""

    memory_mebibytes: float
    open_files: int

    @classmethod
    def of(cls, pid: int) -> Footprint:
        """The present footprint of a process (Linux)."""
        lines = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
        [resident] = [line for line in lines if line.startswith("VmRSS:")]
        return cls(int(resident.split()[1]) / 1024, len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir())))
