# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What ministack forgets of a launch template: the KMS keys of its volumes."""

from __future__ import annotations

import re
import typing as t
from xml.sax.saxutils import escape

Data = dict[str, t.Any]


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
