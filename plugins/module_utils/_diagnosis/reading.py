# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Reading what came from outside: any shape is taken, what has the wrong type counts as absent.

Pods, logs and API answers are observations, and the strangest ones belong to the broken systems that a diagnosis is
for. So nothing here raises for a value of the wrong type.
"""

from __future__ import annotations

import json
import re
import typing as t

#: The message in a Status, Kubernetes's form of an error, wherever it stands in a client's words.
STATUS_MESSAGE = re.compile(r'"message":\s*("(?:[^"\\]|\\.)*")')


def mapping(value: t.Any) -> t.Mapping[str, t.Any]:
    """The value, or an empty mapping if it is none."""
    return value if isinstance(value, t.Mapping) else {}


def listing(value: t.Any) -> list[t.Any]:
    """The value as a list, or an empty list if it is neither list nor tuple."""
    return list(value) if isinstance(value, (list, tuple)) else []


def text(value: t.Any) -> str:
    """The value if it is a text, otherwise an empty one."""
    return value if isinstance(value, str) else ""


def number(value: t.Any) -> int | None:
    """The value if it is a whole number."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def dig(value: t.Any, *keys: str) -> t.Any:
    """The value that lies below these keys, None where one is missing."""
    for key in keys:
        value = mapping(value).get(key)
    return value


def plain(value: t.Any) -> t.Any:
    """Containers of any class, such as Ansible's own, as ordinary ones."""
    if isinstance(value, t.Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def sentence(message: str, limit: int = 600) -> str:
    """A message of somebody else's, on one line, cut after a word near a length, without the full stop at its end."""
    joined = " ".join(message.split()).rstrip(" .")
    if len(joined) <= limit:
        return joined
    return (joined[:limit].rpartition(" ")[0] or joined[:limit]) + " ..."


def kubernetes_words(message: str) -> str:
    """What the API server itself said, out of a client's message with status, headers and body; or all of it."""
    # Clients show the body as Python shows bytes, where a backslash is two.
    found = STATUS_MESSAGE.search(message.replace("\\\\", "\\").replace("\\'", "'"))
    try:
        return sentence(json.loads(found[1])) if found else sentence(message)
    except ValueError:
        return sentence(message)
