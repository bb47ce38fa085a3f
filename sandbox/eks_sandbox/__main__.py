# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``python -m eks_sandbox``"""

from __future__ import annotations

import sys

from eks_sandbox.cli import main

sys.exit(main())
