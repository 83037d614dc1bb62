"""Command-line modules: none is part of the embedded Slicer."""

from __future__ import annotations

import slicer


def createNode(cliModule, parameters=None):
    raise NotImplementedError("the embedded Slicer has no command-line modules")


def setNodeParameters(node, parameters):
    raise NotImplementedError("the embedded Slicer has no command-line modules")


def runSync(
    module, node=None, parameters=None, delete_temporary_files=True, update_display=True, hide_window=False
):
    return createNode(module, parameters)


def run(
    module,
    node=None,
    parameters=None,
    wait_for_completion=False,
    delete_temporary_files=True,
    update_display=True,
    hide_window=False,
):
    return createNode(module, parameters)


def cancel(node):
    slicer.mrmlScene.RemoveNode(node)
