"""`python -m tuning`: lists the tasks, searches, or sweeps a threshold."""

import sys

from tuning import cli

if __name__ == "__main__":
    sys.exit(cli.main(sys.argv[1:]))
