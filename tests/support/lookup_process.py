# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs the lookup eks_token as a controller does; one JSON document a line in, one out.

In a process of its own, because Ansible's loader of collections changes how Python imports for good.
"""

from __future__ import annotations

import json
import os
import pathlib
import sys

from ansible.errors import AnsibleError
from ansible.plugins.loader import init_plugin_loader
from ansible.plugins.loader import lookup_loader

COLLECTIONS = pathlib.Path(__file__).resolve().parents[2] / ".cache" / "collections"


def main() -> None:
    """Answer until the input ends: ``{"env", "terms", "options"}`` with ``{"tokens"}`` or ``{"error"}``."""
    init_plugin_loader([str(COLLECTIONS)])
    before = dict(os.environ)
    for line in sys.stdin:
        request = json.loads(line)
        os.environ.clear()
        os.environ.update({**before, **request["env"]})
        try:
            tokens = lookup_loader.get("podidentity.eks.eks_token").run(request["terms"], {}, **request["options"])
            answer = {"tokens": tokens}
        except AnsibleError as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
