"""`python -m trio_openai`: see `python -m trio_openai --help`."""

import sys

from ._cli import main

sys.exit(main())
