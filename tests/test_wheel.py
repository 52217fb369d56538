"""The wheel, installed away from any checkout: it brings studies and records along and writes below the folder one works in."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from featuremining import paths

KEPT = ("studies/**/*", "benchmarks/**/*", "weights/**/*", "runs/MANIFEST", "runs/full/**/*", "runs/short/**/*")
# of data/; smoke runs are made anew in a minute
ENV = {name: value for name, value in os.environ.items() if not name.startswith(("FM_", "GIT_", "PYTHON"))}


def call(*words, cwd, **env) -> str:
    """What a command prints."""
    done = subprocess.run([str(word) for word in words], cwd=cwd, env={**ENV, "OMP_NUM_THREADS": "1", **env},
                          capture_output=True, text=True)
    assert done.returncode == 0, f"{words}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    call(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=paths.ROOT)
    (found,) = folder.glob("featuremining-*.whl")
    return found


@pytest.fixture(scope="module")
def away(wheel, tmp_path_factory):
    """(folder of the programs, an empty folder to work in). The dependencies are those of this environment: a folder named in a
    .pth file adds its modules, but none of its own .pth files, such as that of an editable install. Another repository lies
    around it all."""
    around = tmp_path_factory.mktemp("another project")
    call("git", "init", "-q", cwd=around)
    call("git", "-c", "user.name=n", "-c", "user.email=e", "commit", "-q", "--allow-empty", "-m", "another project", cwd=around)
    call(sys.executable, "-m", "venv", around / "venv", cwd=around)
    bin_ = around / "venv" / "bin"
    (site,) = (around / "venv").glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    call(bin_ / "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "--no-index", wheel, cwd=around)
    (around / "work here").mkdir()
    return bin_, around / "work here"


def test_a_wheel_holds_what_is_read_and_no_more(wheel):
    inside = {name.removeprefix("featuremining/data/") for name in zipfile.ZipFile(wheel).namelist() if "/data/" in name}
    data = paths.ROOT / "data"
    assert inside == {str(f.relative_to(data)) for part in KEPT for f in data.glob(part)
                      if f.is_file()}
    assert len(inside) > 90
    tops = {name.split("/")[0].partition("-")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert tops == {"featuremining"}


def test_it_is_the_installed_package_and_claims_no_commit(away):
    """Nor that of a repository that happens to lie around it."""
    bin_, here = away
    code = "import featuremining\nfrom featuremining.records import provenance\n"
    code += "print(featuremining.__file__, provenance.commit(), sep='\\n')"
    file, commit = call(bin_ / "python", "-c", code, cwd=here).splitlines()
    assert Path(file).is_relative_to(bin_.parent)
    assert commit == "{'commit': None, 'dirty': None}"


def test_it_judges_as_the_checkout_does(away):
    bin_, here = away
    ours = call(sys.executable, "-m", "featuremining", "verdict", "--json", cwd=paths.ROOT)
    assert call(bin_ / "fm", "verdict", "--json", cwd=here) == ours
    assert len(json.loads(ours)) > 100
    assert "claims" in call(bin_ / "fm", "verdict", cwd=here)
    assert "--tier full" in call(bin_ / "fm", "plan", "--budget", "10h", cwd=here)
    assert list(here.iterdir()) == []


def test_it_writes_where_one_works_and_reads_both(away):
    """A minute: a smoke training. FM_RUNS_DIR, once given, is the only folder."""
    bin_, here = away
    said = call(bin_ / "fm", "run", "X1.resnet20.fm2", "--tier", "smoke", "--seed", "0", cwd=here)
    (record,) = (here / "data" / "runs").rglob("*.json")
    assert said.splitlines()[-1] == str(record) and record.parent.parent.name == "smoke"
    assert json.loads(record.read_text())["provenance"]["commit"] is None
    assert "already recorded" in call(bin_ / "fm", "run", "X1.resnet20.fm2", "--tier", "smoke", "--seed", "0", cwd=here)

    def seeds(*program, cwd=here, **env):
        cells = json.loads(call(*program, "status", "X1.resnet20.fm2", "--json", cwd=cwd, **env))
        return next({tier: found["seeds"] for tier, found in c["tiers"].items()} for c in cells if c["cell"] == "X1.resnet20.fm2")

    ours = seeds(sys.executable, "-m", "featuremining", cwd=paths.ROOT)
    assert ours["short"] and seeds(bin_ / "fm") == {**ours, "smoke": [0]}
    assert seeds(bin_ / "fm", FM_RUNS_DIR=str(here / "data/runs")) == {"smoke": [0], "short": [], "full": []}


def test_the_example_of_the_readme_runs(away):
    """As printed, on random images in place of a loader's."""
    bin_, here = away
    (example,) = re.findall(r"^```python\n(.+?)^```$", (paths.ROOT / "README.md").read_text(), re.M | re.S)
    given = "import torch\nimages, labels = torch.randn(4, 3, 224, 224), torch.randint(10, (4,))\n"
    then = "\nloss.backward()\nprint([p.grad.abs().sum().item() > 0 for p in fm.parameters()])"
    assert set(json.loads(call(bin_ / "python", "-c", given + example + then, cwd=here).lower())) == {True}
