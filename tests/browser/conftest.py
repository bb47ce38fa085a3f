# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One Chromium for all tests of pages."""

from __future__ import annotations

import collections.abc
import os

import pytest
from support.chromium import NoChromium
from support.chromium import Tab
from support.chromium import find_chromium
from support.chromium import new_tab
from support.chromium import running_chromium


@pytest.fixture(scope="session")
def devtools(tmp_path_factory: pytest.TempPathFactory) -> collections.abc.Iterator[int]:
    """The port of the browser; without one the tests are skipped, but not where CI could have installed it."""
    try:
        program = find_chromium()
    except NoChromium as error:
        if error.installable and os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))
    with running_chromium(program, tmp_path_factory.mktemp("chromium")) as port:
        yield port


@pytest.fixture
def tab(devtools: int) -> collections.abc.Iterator[Tab]:
    """A tab of its own for each test."""
    with new_tab(devtools) as opened:
        yield opened
