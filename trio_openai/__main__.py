"""The entry point of `python -m trio_openai`. Try `python -m trio_openai --help`."""

import sys

from ._cli.main import main

sys.exit(main())
