"""`python -m trio_openai`: see `python -m trio_openai --help`."""

import sys

from ._cli.main import main

sys.exit(main())
