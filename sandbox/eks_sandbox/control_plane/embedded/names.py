# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How names, labels and keys may look; messages are kube-apiserver's."""

from __future__ import annotations

import re
import typing as t

from eks_sandbox.control_plane.embedded.errors import Cause
from eks_sandbox.control_plane.embedded.errors import invalid_value

Causes = t.Iterator[Cause]

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_QUALIFIED_NAME = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_VARIABLE = re.compile(r"[ -<>-~]+")
_PORT_NAME = re.compile(r"[-a-z0-9]+")

_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_LABEL_1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_LABEL_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_NAME_PART_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_CONFIG_KEY_TEXT = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  "
    "or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)


def dns_subdomain(field: str, value: str) -> Causes:
    """A name of most kinds."""
    if len(value) > 253:
        yield invalid_value(field, value, "must be no more than 253 characters")
    elif not _SUBDOMAIN.fullmatch(value):
        yield invalid_value(field, value, _SUBDOMAIN_TEXT)


def dns_label(field: str, value: str) -> Causes:
    """A name of at most 63 characters, without dots."""
    if len(value) > 63:
        yield invalid_value(field, value, "must be no more than 63 characters")
    elif not _LABEL.fullmatch(value):
        yield invalid_value(field, value, _LABEL_TEXT)


def qualified(field: str, key: str) -> Causes:
    """A key of a label, an annotation or a taint: a name, perhaps with a domain before it."""
    prefix, slash, name = key.rpartition("/")
    if slash and (not prefix or not _SUBDOMAIN.fullmatch(prefix)):
        yield invalid_value(field, key, f"prefix part {_SUBDOMAIN_TEXT}")
    if not name or len(name) > 63:
        why = "name part must be non-empty" if not name else "name part must be no more than 63 characters"
        yield invalid_value(field, key, why)
    elif not _QUALIFIED_NAME.fullmatch(name):
        yield invalid_value(field, key, _NAME_PART_TEXT)


def labels(field: str, values: t.Mapping[str, str]) -> Causes:
    """Keys and values of labels."""
    for key, value in values.items():
        yield from qualified(field, key)
        if len(value.encode()) > 63:
            yield invalid_value(field, value, "must be no more than 63 bytes")
        elif not _LABEL_VALUE.fullmatch(value):
            yield invalid_value(field, value, _LABEL_VALUE_TEXT)


def dns_label_1035(field: str, value: str) -> Causes:
    """The name of a Service."""
    if not _LABEL_1035.fullmatch(value) or len(value) > 63:
        yield invalid_value(field, value, _LABEL_1035_TEXT)


def config_key(field: str, value: str) -> Causes:
    """A key of a ConfigMap or Secret."""
    if not _CONFIG_KEY.fullmatch(value) or len(value) > 253:
        yield invalid_value(field, value, _CONFIG_KEY_TEXT)


def variable_name(field: str, value: str) -> Causes:
    """The name of an environment variable."""
    if not _VARIABLE.fullmatch(value):
        why = "a valid environment variable name must consist only of printable ASCII characters other than '='"
        yield invalid_value(field, value, why)


def port_name(field: str, value: str) -> Causes:
    """The name of a container's port (an IANA service name)."""
    if len(value) > 15:
        yield invalid_value(field, value, "must be no more than 15 characters")
    if not _PORT_NAME.fullmatch(value):
        yield invalid_value(field, value, "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not any(character.islower() for character in value):
        yield invalid_value(field, value, "must contain at least one letter (a-z)")
    if value.startswith("-") or value.endswith("-") or "--" in value:
        yield invalid_value(field, value, "must not begin or end with a hyphen")
