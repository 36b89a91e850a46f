"""Puts the folder of this file where `sample` is found."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
