# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keeps what hypothesis remembers out of the way."""

from __future__ import annotations

import hypothesis.configuration
from support.environment import ROOT

hypothesis.configuration.set_hypothesis_home_dir(ROOT / ".cache" / "hypothesis")
