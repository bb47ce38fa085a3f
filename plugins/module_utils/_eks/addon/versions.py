# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Versions of add-ons: the exact one that a declaration means, and why there may be none."""

from __future__ import annotations

import bisect
import dataclasses
import re
import typing as t

from ..validation import quoted

if t.TYPE_CHECKING:
    import collections.abc as c

    from .declared import AddonSpec

#: Versions that are asked for by what they are: what AWS recommends, the newest, and the one that is there, if any.
DEFAULT, LATEST, KEEP = WORDS = ("default", "latest", "keep")
#: An exact version, or the first numbers of one.
VERSION = re.compile(r"v?[0-9][\w.+-]*")
#: How many versions a message offers in place of one that does not fit.
OFFERED_VERSIONS = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Offer:
    """A version of an add-on that EKS offers."""

    version: str
    #: The Kubernetes versions that it fits, and those for which AWS recommends it.
    fits: frozenset[str] = frozenset()
    default_for: frozenset[str] = frozenset()
    #: Where the add-on goes when nothing else is said; None where botocore is too old to tell.
    namespace: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choice:
    """The exact version that a declaration means; None leaves it as it is."""

    version: str | None = None
    #: What a person should know about it.
    warning: str | None = None
    #: Where EKS puts a new add-on by default, None where that was not asked.
    namespace: str | None = None


def is_word(version: str) -> bool:
    """Whether a version is asked for by what it is, not by its number."""
    return version in WORDS


def is_settled(version: str | None, installed: str | None) -> bool:
    """Whether what is installed is what is meant, whatever EKS offers."""
    return installed is not None and version in (None, KEEP, installed)


def is_meant(version: str, declared: str) -> bool:
    """Whether a version is the declared one, or begins with its numbers: v1.3.8-eksbuild.2 is meant by v1.3."""
    return version == declared or version.startswith((f"{declared}.", f"{declared}-"))


def version_key(version: str) -> tuple[tuple[int, ...], ...]:
    """A sort key for versions of add-ons: ``v1.10.0-eksbuild.2`` comes after ``v1.9.3-eksbuild.11``."""
    return tuple(tuple(int(number) for number in re.findall(r"[0-9]+", part)) for part in version.split("-", 1))


def by_version(offers: c.Iterable[Offer]) -> list[Offer]:
    """Oldest first."""
    return sorted(offers, key=_offer_key)


def _offer_key(offer: Offer) -> tuple[tuple[int, ...], ...]:
    return version_key(offer.version)


def recommended(offers: c.Sequence[Offer], kubernetes: str) -> str:
    """The version that AWS recommends for a Kubernetes version, the newest where it recommends none."""
    ordered = by_version(offers)
    return ([offer for offer in ordered if kubernetes in offer.default_for] or ordered)[-1].version


def choose(spec: AddonSpec, offers: c.Sequence[Offer], kubernetes: str, installed: str | None) -> Choice:
    """The version that a declaration means for a Kubernetes version; no downgrade is silent.

    :param offers: versions that fit this Kubernetes version, with at least one that is meant.
    """
    declared = spec.version
    if declared is None or declared in (DEFAULT, KEEP):
        chosen = recommended(offers, kubernetes)
    else:
        meant = [offer for offer in offers if declared == LATEST or is_meant(offer.version, declared)]
        chosen = by_version(meant)[-1].version
    namespace = offers[0].namespace
    if installed is None or version_key(chosen) >= version_key(installed):
        return Choice(version=chosen, namespace=namespace)
    if declared is None or is_word(declared) or is_meant(installed, declared):
        warning = f"{spec} stays at version {installed}, which is newer than {declared} ({chosen})."
        return Choice(version=installed, warning=warning)
    return Choice(
        version=chosen, warning=f"{spec} goes back from version {installed} to the older {chosen}, as declared."
    )


def version_problems(
    spec: AddonSpec, offers: c.Sequence[Offer], elsewhere: c.Sequence[Offer], kubernetes: str
) -> c.Iterator[str]:
    """Why a version that is given by its numbers cannot be installed, and what could be instead.

    :param offers: versions that fit the cluster's Kubernetes version.
    :param elsewhere: versions for any Kubernetes version.
    """
    version = str(spec.version)
    if any(is_meant(offer.version, version) for offer in offers):
        return
    fits = {fit for offer in elsewhere if is_meant(offer.version, version) for fit in offer.fits}
    told = ", ".join(sorted(fits, key=version_key))
    fault = f"does not fit Kubernetes {kubernetes} (it fits {told})" if fits else "does not exist"
    latest = by_version(offers)[-1].version
    yield (
        f"version {quoted(version)} of {spec} {fault}: the nearest for Kubernetes {kubernetes} are "
        f"{', '.join(nearest(version, offers))}; default means {recommended(offers, kubernetes)} and latest means "
        f"{latest}."
    )


def nearest(version: str, offers: c.Sequence[Offer]) -> list[str]:
    """The versions next to one that is not offered, oldest first."""
    ordered = by_version(offers)
    place = bisect.bisect([_offer_key(offer) for offer in ordered], version_key(version))
    first = max(0, min(place - OFFERED_VERSIONS // 2, len(ordered) - OFFERED_VERSIONS))
    return [offer.version for offer in ordered[first : first + OFFERED_VERSIONS]]
