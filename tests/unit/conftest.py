# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keeps what hypothesis remembers out of the way."""

from __future__ import annotations

import pathlib

import hypothesis.configuration

hypothesis.configuration.set_hypothesis_home_dir(pathlib.Path(__file__).resolve().parents[2] / ".cache" / "hypothesis")
