# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Calls that ``prove`` declares, checked against the service models of the installed botocore.

The pod has a botocore of its own, which may be newer; so a message names the version that does not know something.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import typing as t

with contextlib.suppress(ImportError):  # Without botocore nothing is checked; the modules report it.
    import botocore
    import botocore.loaders
    import botocore.model
    import botocore.validate

with contextlib.suppress(ImportError):
    import jmespath
    import jmespath.exceptions

if t.TYPE_CHECKING:
    import collections.abc as c

    from ansible_collections.podidentity.eks.plugins.module_utils._workload.prove import Call
    from botocore.model import ServiceModel


def problems(calls: t.Iterable[Call], where: str) -> c.Iterator[str]:
    """One sentence for each thing that AWS could never be asked so."""
    if "botocore" not in globals():
        return
    for call in calls:
        here = f"{where}: prove.{call.expected} names {call.service}.{call.operation}"
        yield from call_problems(call, here)
        yield from show_problems(call, here)


def call_problems(call: Call, here: str) -> c.Iterator[str]:
    """A service, an operation or parameters that boto3 would refuse."""
    version = botocore.__version__
    if call.service not in services():
        yield f"{here}, but botocore {version} knows no service {call.service}{meant(call.service, services())}"
        return
    operations = operations_of(call.service)
    if call.operation not in operations:
        close = meant(call.operation, list(operations))
        yield f"{here}, but {call.service} of botocore {version} has no operation {call.operation}{close}"
        return
    shape = model_of(call.service).operation_model(operations[call.operation]).input_shape
    if shape is None:
        if call.parameters:
            yield f"{here} with parameters, but the operation takes none."
        return
    report = botocore.validate.ParamValidator().validate(dict(call.parameters), shape)
    if report.has_errors():
        yield f"{here} with wrong parameters: {' '.join(report.generate_report().split())}."


def show_problems(call: Call, here: str) -> c.Iterator[str]:
    """A ``show`` that is no JMESPath."""
    if not call.show or "jmespath" not in globals():
        return
    try:
        jmespath.compile(call.show)
    except jmespath.exceptions.JMESPathError as error:
        reason = str(error).splitlines()[0].rstrip(".:")
        yield f'{here} with show "{call.show}", which is no JMESPath: {reason}.'


def meant(name: str, known: t.Sequence[str]) -> str:
    """The end of a sentence, with the name that was probably meant."""
    close = difflib.get_close_matches(name, known, n=1)
    return f": did you mean {close[0]}?" if close else "."


@functools.cache
def loader() -> botocore.loaders.Loader:
    return botocore.loaders.Loader()


@functools.cache
def services() -> tuple[str, ...]:
    """The names of all services, as boto3 takes them."""
    return tuple(loader().list_available_services("service-2"))


@functools.cache
def model_of(service: str) -> ServiceModel:
    return botocore.model.ServiceModel(loader().load_service_model(service, "service-2"), service)


@functools.cache
def operations_of(service: str) -> dict[str, str]:
    """The operations of a service: the method of boto3 -> the operation of the API."""
    return {botocore.xform_name(name): name for name in model_of(service).operation_names}
