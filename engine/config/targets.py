"""`targets.d/NAME.toml`: targets that were added by command, one file each."""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import tomli_w

from engine.config.engine import TARGETS, EngineConfig, TargetConfig, places, read_target
from engine.local.durable import durable_replace, make_folder, open_folder
from engine.model.errors import Failure, Problem, Refused
from engine.model.text import safe


def targets_folder(config: EngineConfig) -> Path:
    """Return where such files are, or would be."""
    return (config.file or places().config).parent / TARGETS


def digest(one: TargetConfig) -> str:
    """Return what tells a definition from another one; it holds no password to begin with."""
    return hashlib.blake2b(repr(replace(one, file=None)).encode(), digest_size=16).hexdigest()


def check_target(config: EngineConfig, name: str, told: Mapping[str, Any]) -> TargetConfig:
    """Return what a definition would be, before it is written.

    Raises:
        Refused: There is a target of that name.
        WrongUse: Something in it is wrong; nothing was written.
    """
    file = targets_folder(config) / f"{name}.toml"
    if name in config.targets:
        where = config.targets[name].file or "the defaults"
        raise Refused(
            Problem(
                "target.exists",
                f"There is a target {safe(name)} already, in {safe(str(where), 200)}.",
                "It was left as it is.",
                "Choose another name, or edit that file.",
            )
        )
    return read_target(name, tomllib.loads(tomli_w.dumps(told)), file, config.state_dir)


def write_target(config: EngineConfig, name: str, told: Mapping[str, Any]) -> Path:
    """Write a checked definition durably; return its file.

    Raises:
        Failure: It cannot be written.
    """
    folder = targets_folder(config)
    file = folder / f"{name}.toml"
    try:
        make_folder(folder)
        with open_folder(folder.resolve()) as opened:
            durable_replace(opened, file.name, tomli_w.dumps(told).encode())
    except OSError as error:
        raise Failure(
            Problem(
                "config.write",
                f"{safe(str(file), 200)} cannot be written: {os.strerror(error.errno or 0)}.",
                "No target was added.",
                "Check the folder and its disk.",
            )
        ) from error
    return file
