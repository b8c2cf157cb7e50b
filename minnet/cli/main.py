"""What can be done from a terminal? The ``minnet`` command: results on stdout, progress on stderr, a line an error.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
"""

import json
import os
import signal
import sys
from collections.abc import Sequence

import minnet
from minnet.cli import explain, learn, runs, train
from minnet.cli.flags import UNTYPED, Parser, add_command
from minnet.runs.checkpoints import stopping_signals
from minnet.runs.config import WrongUsage
from minnet.support.text import say


def build_parser() -> Parser:
    """Describe the command line."""
    parser = Parser(prog="minnet", description="Train small neural networks, written from scratch in NumPy.")
    parser.add_argument("--version", action="version", version=f"minnet {minnet.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for run, arguments in {**train.COMMANDS, **runs.COMMANDS, **learn.COMMANDS, **explain.COMMANDS}.items():
        add_command(commands, run, arguments)
    return parser


def prepare_streams() -> None:
    """Make stdout and stderr take whatever is printed: closed ones nothing, narrow ones a ? for what they lack."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - stays open until the end
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    prepare_streams()
    for number in stopping_signals():  # as Ctrl-C does
        signal.signal(number, signal.default_int_handler)
    try:
        typed = {name: value for name, value in vars(build_parser().parse_args(argv)).items() if value is not UNTYPED}
        parser, command, as_json = typed.pop("parser"), typed.pop("command"), typed.pop("json", False)
        code, lines, results = command(**typed)
        if lines:
            print(json.dumps(results) if as_json else "\n".join(lines))
        sys.stdout.flush()
    except WrongUsage as error:
        parser.error(str(error))
    except KeyboardInterrupt as stop:
        say(f"interrupted; {stop if stop.args else 'nothing was saved'}")
        return 130
    except BrokenPipeError:  # whoever read stdout has left; point it elsewhere, since Python flushes it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, TypeError, OSError, ArithmeticError, MemoryError, RuntimeError) as error:
        say(f"error: {str(error) or type(error).__name__}")
        return 1
    return int(code)
