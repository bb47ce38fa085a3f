# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Quantities such as ``500m`` and ``1Gi``, and the one way of writing each (k8s.io/apimachinery/pkg/api/resource)."""

from __future__ import annotations

import fractions
import re

from eks_sandbox.control_plane.embedded.errors import UndecodableError

_FORM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d{1,3}|)")
_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_DECIMAL = {"n": -3, "u": -2, "m": -1, "": 0, "k": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}


def amount(text: str | int | float) -> fractions.Fraction:
    """The number of a quantity.

    :raises UndecodableError: it is none.
    """
    found = _FORM.fullmatch(str(text))
    if not found:
        form = "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        raise UndecodableError(f"quantities must match the regular expression {form}")
    number, suffix = fractions.Fraction(found[1]), found[2]
    if suffix in _BINARY:
        return number * _power(1024, _BINARY.index(suffix))
    if suffix in _DECIMAL:
        return number * _power(1000, _DECIMAL[suffix])
    return number * _power(10, int(suffix[1:]))


def _power(base: int, exponent: int) -> fractions.Fraction:
    power = fractions.Fraction(int(base ** abs(exponent)))
    return power if exponent >= 0 else 1 / power


def canonical(text: str | int | float) -> str:
    """The quantity without fractions, with the largest unit that allows it: ``1000m`` is ``1``.

    :raises UndecodableError: it is not a quantity.
    """
    value = amount(text)
    if str(text).endswith("i") and (value.denominator == 1 or abs(value) >= 1024):
        whole, power = -(-value.numerator // value.denominator), 0
        while whole and whole % 1024 == 0 and power < len(_BINARY) - 1:
            whole, power = whole // 1024, power + 1
        return f"{whole}{_BINARY[power]}"
    # Nothing is smaller than a billionth; a remainder rounds up.
    scaled = value * 1000**3
    whole, power = -(-scaled.numerator // scaled.denominator), -3
    while whole and whole % 1000 == 0 and power < 6:
        whole, power = whole // 1000, power + 1
    unit = next(name for name, place in _DECIMAL.items() if place == power)
    return f"{whole}{unit}" if whole else "0"
