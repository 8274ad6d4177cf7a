"""The claims of the last lessons: see quick_claims.py."""

from pathlib import Path

import pytest
from quick_claims import HALF, NAMES, its_claims_hold_with_another_seed


@pytest.mark.parametrize("name", NAMES[HALF:])
def test_lesson_in_the_quick_profile_with_another_seed(name: str, tmp_path: Path) -> None:
    its_claims_hold_with_another_seed(name, tmp_path)
