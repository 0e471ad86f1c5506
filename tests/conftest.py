"""Shared settings of the tests."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))  # the modules that tests share; last, so that ours win
