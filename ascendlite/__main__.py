"""`python -m ascendlite` is the `ascendlite` command."""

import sys

from ascendlite.cli import main

sys.exit(main())
