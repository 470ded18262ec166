"""Print what bash or zsh needs to complete commands and names of runs: eval "$(scaleinv-runs completion)"."""

import argparse

from scaleinv.runs.outcomes import say

SCRIPT = """\
if [ -n "$ZSH_VERSION" ]; then autoload -U +X bashcompinit && bashcompinit; fi
_scaleinv_runs() {
  local words=%r
  if [ "$COMP_CWORD" -gt 1 ]; then words="$(scaleinv-runs ls --names 2>/dev/null)"; fi
  COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _scaleinv_runs scaleinv-runs"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``scaleinv-runs completion``: none."""


def run(options: argparse.Namespace) -> None:
    """Print the script."""
    say(SCRIPT % " ".join(options.commands))
