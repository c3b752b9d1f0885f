"""`python -m pipeline` is `trunkline`."""

import sys

from pipeline.cli import main

sys.exit(main())
