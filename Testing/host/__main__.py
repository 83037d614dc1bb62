"""The embedded Slicer from the command line.

python -m Testing.host show MODULE.py                  a real window (needs a display)
python -m Testing.host screenshot MODULE.py OUT.png    the same window as a picture, no display needed
python -m Testing.host test MODULE.py                  the module's own tests
python -m Testing.host doctor                          what is missing on this machine
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .runner import Host


def _arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m Testing.host", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("show", "screenshot", "test"):
        command = commands.add_parser(name)
        command.add_argument("module", help="the scripted module's file")
        if name == "screenshot":
            command.add_argument("picture", help="the PNG to write")
        command.add_argument("--width", type=int, default=400, help="of the panel, px")
        command.add_argument("--colors", choices=("light", "dark"), default="light")
        command.add_argument("--scene", help="a scene or volume to load first")
    commands.add_parser("doctor")
    return parser.parse_args(arguments)


def _test(host: Host, options: argparse.Namespace) -> int:
    module = host.load(options.module, enter=True)
    result = host.run_unit_tests(module)
    problems = [text for _, text in (*result.failures, *result.errors)] + host.problems()
    print(*problems, sep="\n", file=sys.stderr)
    print(f"{module.name}: {result.testsRun} tests, {len(problems)} problems")
    return 1 if problems or not result.testsRun else 0


def _window(host: Host, options: argparse.Namespace) -> int:
    import slicer

    module = host.load(options.module)
    if options.scene:
        slicer.util.loadNodeFromFile(options.scene)
    window = host.window(module, width=options.width, colors=options.colors)
    if options.command == "show":
        host.app.setQuitOnLastWindowClosed(True)
        return host.app.exec()
    host.picture(window, options.picture)
    print(options.picture)
    return 1 if host.problems() else 0


def main(arguments: list[str]) -> int:
    """Exit status: 0 fine, 1 problems, 3 this machine cannot run it."""
    from . import availability, start

    options = _arguments(arguments)
    why = availability.reason()
    if why or options.command == "doctor":
        print(why or "nothing is missing", file=sys.stderr if why else sys.stdout)
        return 3 if why else 0
    if options.command == "show":
        _use_display()
    host = start(interactive=options.command == "show")
    return _test(host, options) if options.command == "test" else _window(host, options)


def _use_display() -> None:
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        sys.exit("show needs a display: set DISPLAY, or use screenshot")
    if os.environ.get("QT_QPA_PLATFORM") == "offscreen":
        del os.environ["QT_QPA_PLATFORM"]  # Qt chooses by itself


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
