"""Trials of a search without a process of their own."""

import contextlib

from applications import cli


class InProcess:
    """A child that runs its command in this process, at once."""

    commands: list = []

    def __init__(self, command, stdout, stderr):
        self.commands.append(command)
        with contextlib.redirect_stdout(stdout):
            with contextlib.redirect_stderr(stdout):
                self.status = cli.main(command[1:])

    def wait(self):
        return self.status
