"""`python -m invtutor` is the command."""

import sys

from invtutor.cli import main

if __name__ == "__main__":
    sys.exit(main())
