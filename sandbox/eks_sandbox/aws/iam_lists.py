# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lists of IAM as AWS returns them: in pages, and roles without the fields that only GetRole returns.

ministack puts everything on one page. https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListRoles.html
"""

from __future__ import annotations

import typing as t
import xml.etree.ElementTree

from eks_sandbox.aws.errors import ServiceError

if t.TYPE_CHECKING:
    import botocore.model

    from eks_sandbox.aws.model import Parameters

#: The default number of items on a page.
PAGE = 100
#: What a list leaves out of each item, by operation.
LEFT_OUT = {"ListRoles": ("Tags", "PermissionsBoundary", "RoleLastUsed")}
NAMESPACE = "https://iam.amazonaws.com/doc/2010-05-08/"


def page_of(operation: botocore.model.OperationModel, parameters: Parameters, body: t.Any) -> t.Any:
    """The requested page of a complete answer; any other answer unchanged.

    Raises ServiceError for a marker that no page has returned.
    """
    output = operation.output_shape
    lists = [name for name, shape in output.members.items() if shape.type_name == "list"] if output else []
    if "MaxItems" not in (operation.input_shape.members if operation.input_shape else {}) or len(lists) != 1:
        return body
    document = xml.etree.ElementTree.fromstring(body)
    [result] = [child for child in document if child.tag.endswith(f"{operation.name}Result")]
    prefix = result.tag.removesuffix(f"{operation.name}Result")
    items = result.find(f"{prefix}{lists[0]}")
    assert items is not None
    every = list(items)
    begin = _begin(parameters.get("Marker"), len(every))
    end = begin + parameters.get("MaxItems", PAGE)
    for number, item in enumerate(every):
        if not begin <= number < end:
            items.remove(item)
        for name in LEFT_OUT.get(operation.name, ()):
            for extra in item.findall(f"{prefix}{name}"):
                item.remove(extra)
    if end < len(every):
        truncated = result.find(f"{prefix}IsTruncated")
        assert truncated is not None
        truncated.text = "true"
        xml.etree.ElementTree.SubElement(result, f"{prefix}Marker").text = str(end)
    xml.etree.ElementTree.register_namespace("", prefix.strip("{}") or NAMESPACE)
    return xml.etree.ElementTree.tostring(document)


def _begin(marker: str | None, count: int) -> int:
    """Where a page begins, by the marker of the previous page."""
    if marker is None:
        return 0
    if not marker.isdecimal() or int(marker) > count:
        raise ServiceError("InvalidInput", "Invalid Marker.", status=400)
    return int(marker)
