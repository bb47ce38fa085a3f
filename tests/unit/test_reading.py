# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How messages of others become a part of a sentence of ours."""

from __future__ import annotations

from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import sentence
from hypothesis import given
from hypothesis import strategies as st


def test_cut_message_ends_after_word_with_ellipsis() -> None:
    assert sentence("Nothing\n  answered at the\taddress. ", limit=30) == "Nothing answered at the ..."
    assert sentence("Nothing\n  answered. ", limit=30) == "Nothing answered"
    assert sentence("x" * 31, limit=30) == "x" * 30 + " ..."


@given(st.text(), st.integers(min_value=1, max_value=50))
def test_sentence_is_one_line_within_limit(message: str, limit: int) -> None:
    told = sentence(message, limit)
    assert told.splitlines() in ([], [told])
    whole = " ".join(message.split())
    assert whole.startswith(told.removesuffix(" ..."))
    assert len(told.removesuffix(" ...")) <= limit
