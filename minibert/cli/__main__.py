"""`python -m minibert.cli` is `minibert`."""

from __future__ import annotations

import sys

from minibert.cli import main

sys.exit(main())
