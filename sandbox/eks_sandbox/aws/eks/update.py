# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Updates: DescribeUpdate and ListUpdates."""

from __future__ import annotations

from eks_sandbox.aws.eks.operations import Context
from eks_sandbox.aws.eks.operations import operation
from eks_sandbox.aws.eks.operations import page
from eks_sandbox.aws.eks.state import Shape
from eks_sandbox.aws.eks.state import Update
from eks_sandbox.aws.errors import not_found
from eks_sandbox.aws.knobs import Knobs


@operation("DescribeUpdate")
async def describe_update(context: Context, parameters: Shape) -> Shape:
    """One update of the cluster, or of the node group or add-on that is named."""
    update = context.cluster(parameters["name"]).updates.get(parameters["updateId"])
    asked = (parameters.get("nodegroupName"), parameters.get("addonName"))
    if update is None or (update.nodegroup, update.addon) != asked:
        raise not_found(f"No update found for ID: {parameters['updateId']}", clusterName=parameters["name"])
    return {"update": update.shape}


@operation("ListUpdates")
async def list_updates(context: Context, parameters: Shape) -> Shape:
    """The ids of the updates of the cluster, or of the node group or add-on that is named."""
    asked = (parameters.get("nodegroupName"), parameters.get("addonName"))
    updates = context.cluster(parameters["name"]).updates
    found, token = page(
        [key for key, update in updates.items() if (update.nodegroup, update.addon) == asked], parameters
    )
    return {"updateIds": found, "nextToken": token}


def succeeds(update: Update, knobs: Knobs) -> bool:
    """Whether an update ends well; one that the knobs let end otherwise ends here, with its error."""
    kind = update.shape["type"]
    outcome = knobs.update_outcomes.get(kind)
    if outcome is None:
        return True
    message = f"The sandbox was told to let {kind} end {outcome}."
    code = knobs.update_errors.get(kind, "Unknown")
    errors = [{"errorCode": code, "errorMessage": message, "resourceIds": []}] if outcome == "Failed" else []
    update.shape.update(status=outcome, errors=errors)
    return False
