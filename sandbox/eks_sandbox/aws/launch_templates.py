# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What ministack lacks of launch templates: the KMS keys of their volumes, and the deletion of versions."""

from __future__ import annotations

import re
import typing as t
from xml.sax.saxutils import escape

Data = dict[str, t.Any]


def complete(ec2: t.Any) -> None:
    """Put both into ministack's EC2."""
    keep_volume_keys(ec2)
    ec2._ACTION_MAP["DeleteLaunchTemplateVersions"] = lambda parameters: delete_versions(ec2, parameters)


def delete_versions(ec2: t.Any, parameters: dict[str, list[str]]) -> t.Any:
    """Delete the named versions; report the default version and versions that do not exist instead.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteLaunchTemplateVersions.html
    """
    given = {name: ec2._p(parameters, name) for name in ("LaunchTemplateId", "LaunchTemplateName")}
    template = next((one for one in ec2._launch_templates.values() if _is_meant(one, given)), None)
    if template is None:
        message = "The specified launch template does not exist"
        return ec2._error("InvalidLaunchTemplateId.NotFoundException", message, 400)
    wanted = ec2._parse_member_list(parameters, "LaunchTemplateVersion")
    going = {str(one["VersionNumber"]) for one in template["Versions"]} & set(wanted)
    going.discard(str(template["DefaultVersionNumber"]))
    template["Versions"] = [one for one in template["Versions"] if str(one["VersionNumber"]) not in going]
    deleted = "".join(f"<item>{_named(template, number)}</item>" for number in wanted if number in going)
    error = "<code>launchTemplateVersionDoesNotExist</code><message>No such version, or the default one.</message>"
    left = "".join(
        f"<item>{_named(template, number)}<responseError>{error}</responseError></item>"
        for number in wanted
        if number not in going
    )
    sets = {"successfully": deleted, "unsuccessfully": left}
    kind = "DeletedLaunchTemplateVersionSet"
    body = "".join(f"<{how}{kind}>{items}</{how}{kind}>" for how, items in sets.items())
    return ec2._xml(200, "DeleteLaunchTemplateVersionsResponse", body)


def _is_meant(template: Data, given: t.Mapping[str, str]) -> bool:
    return any(value and template[name] == value for name, value in given.items())


def _named(template: Data, version: str) -> str:
    identifier, name = template["LaunchTemplateId"], escape(template["LaunchTemplateName"])
    return (
        f"<launchTemplateId>{identifier}</launchTemplateId><launchTemplateName>{name}</launchTemplateName>"
        f"<versionNumber>{escape(version)}</versionNumber>"
    )


def keep_volume_keys(ec2: t.Any) -> None:
    """Put the keys into what ministack reads of a request and shows of a launch template."""
    parse, show = ec2._parse_lt_data, ec2._lt_data_xml

    def parsed(parameters: dict[str, list[str]], prefix: str = "LaunchTemplateData") -> Data:
        data: Data = parse(parameters, prefix)
        for number, mapping in enumerate(data.get("BlockDeviceMappings", []), start=1):
            key = ec2._p(parameters, f"{prefix}.BlockDeviceMapping.{number}.Ebs.KmsKeyId")
            if key:
                mapping.setdefault("Ebs", {})["KmsKeyId"] = key
        return data

    def shown(data: Data) -> str:
        volumes = iter([mapping["Ebs"] for mapping in data.get("BlockDeviceMappings", []) if "Ebs" in mapping])
        return re.sub("</ebs>", lambda _end: f"{_key(next(volumes))}</ebs>", show(data))

    ec2._parse_lt_data, ec2._lt_data_xml = parsed, shown


def _key(volume: Data) -> str:
    return f"<kmsKeyId>{escape(volume['KmsKeyId'])}</kmsKeyId>" if "KmsKeyId" in volume else ""
