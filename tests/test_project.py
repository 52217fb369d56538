"""The project's own promises: README from records, an address-free lock, one environment in two faces."""

import ast
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from featuremining import paths

ROOT = paths.ROOT


def test_readme_shows_what_the_records_say():
    result = subprocess.run([sys.executable, str(ROOT / "book/build.py"), "--readme"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout == (ROOT / "README.md").read_text(), "run `make readme`"


def test_readme_begins_with_how_to_use_it():
    """Ten lines within the first forty, before the table; `tests/test_wheel.py` runs them."""
    head = (ROOT / "README.md").read_text().partition("<!-- headline -->")[0]
    (example,) = re.findall(r"^```python\n(.+?)^```$", head, re.M | re.S)
    assert head.count("\n") < 40 and len(example.splitlines()) <= 10 and "FeatureMining(" in example


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_what_a_front_page_points_to_is_there(name):
    """Its links, its paths in code, its targets of make. CONTRIBUTING fits a screen."""
    text = (ROOT / name).read_text()
    named = re.findall(r"\]\((?!https?:)([^)#]+)\)", text) + re.findall(r"`((?:lib|book|data|tests|notebooks)/[\w/.]*)`", text)
    made_later = {"data/raw"}
    assert named and [path for path in {*named} - made_later if not (ROOT / path).exists()] == []
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"(?:^|`)make ([a-z]+)", text, re.M)) <= targets
    assert name == "README.md" or len(text.splitlines()) <= 60


def test_every_promise_names_a_test_that_is_there():
    """On the page of what can be relied on, in each row of its tables."""
    page = (ROOT / "book/reliability.md").read_text(encoding="utf-8")
    rows = [row for row in page.splitlines() if row.startswith("| ") and not row.startswith("| Promise")]
    assert len(rows) > 10
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)`", row)
        assert named and all((ROOT / path).is_file() for path in named), row


def test_the_lock_holds_no_address_and_every_dependency():
    lock = (ROOT / "requirements.lock").read_text()
    assert not re.search(r"https?://|--index-url|--find-links|--hash|file:", lock)
    locked = {re.split(r"[=\[; ]", line)[0].lower() for line in lock.splitlines() if "==" in line}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    names = {re.match(r"[A-Za-z0-9_.-]+", d)[0].lower() for d in wanted}
    assert names - locked - {"featuremining"} == set()


def test_workflows_and_forms_are_what_github_reads():
    """By GitHub's published schema, and for what goes wrong in workflows; nothing is looked up."""
    folder, tools = ROOT / ".github", Path(sys.executable).parent
    flows, config = [*(folder / "workflows").glob("*.yml")], folder / "ISSUE_TEMPLATE/config.yml"
    forms = [f for f in (folder / "ISSUE_TEMPLATE").glob("*.yml") if f != config]
    assert len(flows) == 2 and len(forms) == 2
    schema = [sys.executable, "-m", "check_jsonschema", "--builtin-schema"]
    for words in ([*schema, "vendor.github-workflows", *flows], [*schema, "vendor.github-issue-forms", *forms],
                  [*schema, "vendor.github-issue-config", config], [tools / "zizmor", "--offline", folder]):
        result = subprocess.run(words, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    run = re.findall(r"make ([a-z-]+)", "".join(f.read_text(encoding="utf-8") for f in flows))
    assert run and set(run) <= targets


def test_a_commit_keeps_the_names_of_cells():
    """nbstripout numbers them unless it is told not to."""
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (hook,) = [hook for repo in config["repos"] for hook in repo["hooks"] if hook["id"] == "nbstripout"]
    assert "--keep-id" in hook["args"] and all(re.fullmatch(r"v?\d+\.\d+\.\d+", repo["rev"]) for repo in config["repos"])


def test_the_image_is_made_of_what_is_there():
    lines = [line for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert len(lines) <= 10 and re.search(r"^FROM python:3\.(11|12|13)-", lines[0])
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    assert set(re.findall(r"make ([a-z-]+) [A-Z]", "\n".join(lines))) == {"setup"} <= targets
    left_out = {line.strip("/") for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()}
    assert left_out <= {line.strip("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()}


def test_the_image_can_be_built_and_runs():
    if not shutil.which("docker") or subprocess.run(["docker", "info"], capture_output=True).returncode:
        pytest.skip("docker does not run here, so the image was not built")
    subprocess.run(["docker", "build", "--quiet", "--tag", "fm-test", "."], cwd=ROOT, check=True)
    said = subprocess.run(["docker", "run", "--rm", "fm-test", "--version"], capture_output=True, text=True, check=True).stdout
    assert said.startswith("0.")


@pytest.fixture
def elsewhere(tmp_path):
    """A checkout, as make sees it, in a folder with a space."""
    folder = tmp_path / "a b"
    (folder / ".venv").mkdir(parents=True)
    (folder / "notebooks").mkdir()
    (folder / "notebooks/one.ipynb").touch()
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    (folder / ".venv/.installed").write_text(str(folder))

    def make(*words):
        return subprocess.run(["make", "--dry-run", *words], cwd=folder, capture_output=True, text=True, check=True).stdout
    return folder, make


def test_a_space_in_a_folders_name_breaks_no_command(elsewhere):
    folder, make = elsewhere
    for words in (("book",), ("test",), ("notebooks",), ("nbval",), ("grid", "GPUS=0"), ("bench",), ("readme",),
                  ("grid-plan", "FM_RUNS_DIR=x y", "GPUS=0"), ("setup", "--always-make")):
        for line in make(*words).replace("\\\n", " ").splitlines():
            cut = [w for w in shlex.split(line.partition("Entering directory")[0].partition("Leaving directory")[0])
                   if w.endswith(str(folder).split()[0]) or w == "y"]
            assert not cut, line


def test_a_moved_checkout_makes_its_environment_anew(elsewhere):
    folder, make = elsewhere
    assert "venv" not in make("setup")
    (folder / ".venv/.installed").write_text("/another place")
    assert "rm -rf .venv" in make("setup") and "pip sync" in make("setup")
    (folder / ".venv/.installed").unlink()
    assert "rm -rf .venv" not in make("setup") and "pip sync" in make("setup")


def test_another_python_or_torch_than_the_environment_has_is_put_there(elsewhere):
    """What is named on the command line holds, and what is left out changes nothing."""
    folder, make = elsewhere
    (folder / ".venv/pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.11.7\n")
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    for version, anew in ((here, False), ("3.10" if here != "3.10" else "3.11", True)):
        (folder / ".venv/pyvenv.cfg").write_text(f"home = /usr/bin\nversion = {version}.7\n")
        said = make("setup", f"PYTHON={sys.executable}")
        assert ("rm -rf .venv" in said, "pip sync" in said) == (anew, anew), said
        assert "venv" not in make("setup")
    assert "--torch-backend=cpu" in make("setup", "TORCH=cpu")
    (folder / ".venv/.torch").write_text("cpu")
    assert "pip sync" not in make("setup", "TORCH=cpu") + make("setup")


@pytest.mark.parametrize("torch", ["CPU", "cuda", "cu128", "cpu gpu", "none"])
def test_a_torch_that_is_not_known_is_no_silent_cuda(torch):
    done = subprocess.run(["make", "--dry-run", "setup", f"TORCH={torch}"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "is not known: it is cpu" in done.stderr


def test_torch_for_a_cpu_leaves_cuda_out():
    words = ["make", "--dry-run", "--always-make", "setup"]
    plain, cpu = (subprocess.run([*words, *more], cwd=ROOT, capture_output=True, text=True, check=True).stdout
                  for more in ([], ["TORCH=cpu"]))
    assert "--torch-backend" not in plain and "--torch-backend=cpu" in cpu
    pattern = re.search(r"grep -vE '(.*?)'", cpu)[1]
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    left_out = [line.split("==")[0] for line in lock if re.search(pattern, line)]
    assert {"nvidia-cudnn-cu13", "triton", "cuda-toolkit"} <= {*left_out} and not {"torch", "torchvision", "timm"} & {*left_out}


def test_conda_environment_is_the_lock_and_the_project():
    env = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert env["channels"] == ["conda-forge", "nodefaults"]
    (pip,) = [d["pip"] for d in env["dependencies"] if isinstance(d, dict)]
    assert pip == ["-r requirements.lock", "-e ."]


@pytest.mark.parametrize("name", ["LICENSE", "CITATION.cff", "CHANGELOG.md", "CONTRIBUTING.md", ".ci/run"])
def test_files_a_project_has(name):
    assert (ROOT / name).stat().st_size > 100


def test_importing_the_package_is_cheap():
    code = "import sys, featuremining; sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_page_that_only_shows_never_waits_for_torch():
    """Nor for scipy's statistics, which take as long to import: two functions of it are all that intervals need."""
    code = """
import sys, featuremining as fm
page = fm.notebook.start("cifar", {"tier": "short", "cells": ["X1.resnet20.fm2"], "seeds": [0], "device": "auto", "train": False})
runs, ledger, show = page.runs, page.ledger, fm.show
page.plan(), fm.train_each(page.missing), show.accuracies(runs, "short"), show.curves(runs, "short"), show.time_and_memory(runs)
show.printed_numbers("T1", ledger), show.printed_table("T2", ledger), show.verdicts("cifar", ledger)
show.sentences("cifar", ledger), show.answer("cifar", ledger)
print("imported:", [name for name in ("torch", "torchvision", "scipy.stats", "statsmodels", "seaborn") if name in sys.modules])
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "imported: []" in result.stdout, result.stdout + result.stderr


def test_every_public_name_is_there():
    import featuremining

    for name in featuremining.__all__:
        first, second = getattr(featuremining, name), getattr(featuremining, name)
        assert first is second, name        # an import of a submodule must not take a name's place


CHEAP = ("studies", "records", "judging", "showing")


def test_the_rooms_that_only_compute_and_show_never_wait_for_torch():
    """Every module of theirs: what they need of a machine they ask for when they are called."""
    lib = ROOT / "lib"
    names = [".".join(p.relative_to(lib).with_suffix("").parts) for room in CHEAP
             for p in sorted((lib / "featuremining" / room).rglob("*.py"))]
    code = f"import sys; from importlib import import_module; [*map(import_module, {names!r})]; print('torch' in sys.modules)"
    assert len(names) > 30
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


@pytest.mark.parametrize("path", sorted((ROOT / "lib/featuremining").rglob("__init__.py")), ids=lambda p: p.parent.name)
def test_every_room_says_what_it_is_for(path):
    """In one paragraph, before its first import."""
    said = ast.get_docstring(ast.parse(path.read_text()))
    assert said and len(said) > 100
