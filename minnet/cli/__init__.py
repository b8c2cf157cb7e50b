"""What can be done from a terminal?"""

from minnet.cli.main import main

__all__ = ["main"]
