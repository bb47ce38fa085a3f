# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Variables beside the workloads: names that look like ours and are not, values of role options, and the region."""

from __future__ import annotations

import contextlib
import difflib
import re
import typing as t

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.podidentity.eks.plugins.module_utils._eks import options as scalars
from ansible_collections.podidentity.eks.plugins.module_utils._workload.validation import shown

with contextlib.suppress(ImportError):  # Without botocore no region is checked; the modules report it.
    import botocore
    import botocore.exceptions
    import botocore.session

if t.TYPE_CHECKING:
    import collections.abc as c

Options = t.Mapping[str, t.Mapping[str, t.Any]]

#: How alike a name must be to one of ours to be taken for a misspelt one (difflib's ratio).
ALIKE = 0.9
#: Names that the playbooks and roles themselves set, or that other variables of a play have.
INTERNAL = re.compile(r"podidentity_(caller|clusters?|declared|profile|region|request(_.*)?)|__.*")
#: What a user gives for a type of ansible-core that has nothing inside.
PLAIN_TYPES = {"bool": "true or false", "int": "a whole number", "float": "a number", "str": "a text"}
#: Options that are texts of a form, and what that is; role ``agent`` checks its own for those who use it alone.
FORMS = {
    "agent_version": (
        re.compile(r"default|latest|keep|v[0-9]+[.][0-9]+([.][0-9]+(-eksbuild[.][0-9]+)?)?"),
        "default, latest, keep, the first numbers of a version such as v1.3, or an exact one such as v1.3.9-eksbuild.3",
    ),
}
REGION_FORM = re.compile(r"[a-z]+(-[a-z]+)+-[0-9]+")


def misspelt(names: t.Iterable[str], known: c.Collection[str], own: c.Container[str], where: str) -> c.Iterator[str]:
    """Variables that nothing reads and that look like one of ours.

    :param known: every variable that a user may set.
    :param own: names that the user means, however they look.
    """
    for name in sorted(names):
        if name in known or name in own or INTERNAL.fullmatch(name):
            continue
        close = difflib.get_close_matches(name, known, n=1, cutoff=ALIKE)
        if close:
            yield (
                f"{where} sets the variable {name}, which nothing reads: did you mean {close[0]}? Name a variable of "
                "your own in podidentity_own_variables."
            )


def option_problems(options: Options, values: t.Mapping[str, t.Any], where: str) -> c.Iterator[str]:
    """Values that an option of a role does not take; ansible-core finds them when the role begins, after others ran.

    :param values: by the name of the option; None is a value that is not known yet.
    """
    for name, option in options.items():
        if values.get(name) is not None and not is_workloads(option):
            yield from value_problems(name, option, values[name], where)


def is_workloads(option: t.Mapping[str, t.Any]) -> bool:
    """Whether an option takes workloads, which :mod:`.validation` checks."""
    return "service_account" in option.get("options", {})


def value_problems(name: str, option: t.Mapping[str, t.Any], value: t.Any, where: str) -> c.Iterator[str]:
    """What is wrong with the value of one option."""
    checked = {name: {key: setting for key, setting in option.items() if key not in ("required", "default")}}
    unreadable = list(scalars.problems(checked, {name: value}))
    yield from (f"{where}: {text}" for _name, text in unreadable)
    if unreadable:
        return
    if name in FORMS and not FORMS[name][0].fullmatch(str(value)):
        yield f"{where} has the {name} {shown(value)}: give {FORMS[name][1]}."
        return
    choices = [str(choice) for choice in option.get("choices", ()) if choice != ""]
    for text in ArgumentSpecValidator(checked).validate({name: value}).error_messages:
        if choices and not isinstance(value, (list, dict)):
            yield f"{where} has the {name} {shown(value)}: give {alternatives(choices)}."
        elif option.get("type") in PLAIN_TYPES:
            yield f"{where} has the {name} {shown(value)}: give {PLAIN_TYPES[option['type']]}."
        else:
            yield f"{where} has a value in {name} that it does not take: {text}."


def alternatives(choices: t.Sequence[str]) -> str:
    """Choices as a sentence has them."""
    return f"{', '.join(choices[:-1])} or {choices[-1]}" if len(choices) > 1 else choices[0]


def region_problems(region: object, where: str) -> c.Iterator[str]:
    """A region of no partition of AWS that botocore knows.

    botocore knows the form of each partition's regions, so that it takes regions that are newer than it.
    """
    example = "give the AWS region of the cluster, such as eu-west-1, as a host variable."
    if not isinstance(region, str) or not REGION_FORM.fullmatch(region):
        yield f'{where} has the eks_region "{region or ""}": {example}'
        return
    if "botocore" not in globals():
        return
    session = botocore.session.Session()
    try:
        session.get_partition_for_region(region)
    except botocore.exceptions.UnknownRegionError:
        known = [
            name
            for partition in session.get_available_partitions()
            for name in session.get_available_regions("eks", partition)
        ]
        close = difflib.get_close_matches(region, known, n=1)
        right = f"did you mean {close[0]}?" if close else example
        yield f'{where} has the eks_region "{region}", which botocore {botocore.__version__} does not know: {right}'
