"""`python -m applications`: lists the tasks, or runs a verb of one."""

import sys

from applications import cli

if __name__ == "__main__":
    sys.exit(cli.main(sys.argv[1:]))
