"""The version of the rules, as receipts name it: a digest of their source, which a test keeps true.

`TRUNKLINE_GOLDEN=1 pytest tests/pipeline/redaction/test_version.py` writes it afresh.
"""

from typing import Final

DETECTOR: Final = "2b9455ee9342"
