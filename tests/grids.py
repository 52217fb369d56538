"""Grids that tests start: `make grid` without make, in a folder of their own."""

import os
import subprocess
import sys

from featuremining import paths, studies

FLOW = paths.ROOT / "workflow"
PAIR = "F6.resnet56.baseline.50 F6.resnet56.fm2.50"        # seconds each


def command(folder, *more, **config):
    """What `make grid` starts; records, logs and starts lie in ``folder``."""
    (folder / "build/grid").mkdir(parents=True, exist_ok=True)
    words = sys.executable, str(paths.ROOT / "tests/grid_stand_in.py")
    stand_in = " ".join(word.replace(" ", "\\ ") for word in words)         # Snakemake takes quotes off
    config = {"tier": "smoke", "cells": PAIR, "seeds": "0", "cores": 2, "gpus": 0, "device": "cpu", "program": stand_in} | config
    return [sys.executable, "-m", "snakemake", "--snakefile", str(FLOW / "Snakefile"), "--directory", str(folder / "build/grid"),
            "--cores", "2", *more, "--config", *(f"{k}={v}" for k, v in config.items())]


def environment(folder, **more):
    return {**os.environ, "FM_RUNS_DIR": str(folder / "runs"), "FM_BUILD_DIR": str(folder / "build"), "OMP_NUM_THREADS": "1",
            "STARTS": str(folder / "starts"), **more}


def snakemake(folder, *more, env=None, **config):
    return subprocess.run(command(folder, *more, **config), env=environment(folder, **env or {}), capture_output=True, text=True,
                          timeout=900)


def log(folder, cell, seed):
    return folder / "build/grid/logs/smoke" / studies.cell(cell).run("smoke", 0).key / f"seed{seed}.log"
