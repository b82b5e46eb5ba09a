"""`python -m minibert.cli` is `minibert`."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    try:
        from minibert.cli import main
    except KeyboardInterrupt:  # Ctrl-C before the command line could take it
        sys.exit(130)
    sys.exit(main())
