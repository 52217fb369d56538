"""Which commit a record names: that of the project's own repository, or none."""

import os
import subprocess

import pytest

from featuremining import paths
from featuremining.records import provenance


def repository(folder):
    """A repository with one commit."""
    folder.mkdir(parents=True, exist_ok=True)
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], [*who, "commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", "-C", str(folder), *words], check=True)
    said = subprocess.run(["git", "-C", str(folder), "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return said.stdout.strip()


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The project's folder, in the folder of another repository."""
    monkeypatch.setattr(paths, "ROOT", tmp_path / "outer" / "project")
    repository(tmp_path / "outer")
    paths.ROOT.mkdir()
    return paths.ROOT


def test_a_repository_around_the_project_is_not_its_own(project):
    assert provenance.commit() == {"commit": None, "dirty": None}


@pytest.mark.parametrize("names", [("GIT_DIR",), ("GIT_DIR", "GIT_WORK_TREE"), ("GIT_DIR", "GIT_INDEX_FILE"), ("GIT_COMMON_DIR",),
                                   ("GIT_OBJECT_DIRECTORY",)], ids="+".join)
@pytest.mark.parametrize("own", [False, True])
def test_variables_of_git_name_no_other_repository(project, tmp_path, monkeypatch, names, own):
    head = repository(project) if own else None
    outer = tmp_path / "other"
    repository(outer)
    places = {"GIT_DIR": outer / ".git", "GIT_WORK_TREE": outer, "GIT_INDEX_FILE": outer / ".git/index",
              "GIT_COMMON_DIR": outer / ".git", "GIT_OBJECT_DIRECTORY": outer / ".git/objects"}
    for name in names:
        monkeypatch.setenv(name, str(places[name]))
    assert provenance.commit() == {"commit": head, "dirty": False if own else None}


def test_a_worktree_names_its_own_commit(project, tmp_path):
    head = repository(tmp_path / "main")
    project.rmdir()
    subprocess.run(["git", "-C", str(tmp_path / "main"), "worktree", "add", "-q", str(project)], check=True, capture_output=True)
    assert provenance.commit()["commit"] == head


def test_a_checkout_of_another_user_names_its_commit(project, monkeypatch):
    """As in a container, where git says nothing of a folder that it finds by itself and that another user owns."""
    head, run = repository(project), subprocess.run

    def by_another(words, **more):
        return run(words, **{**more, "env": {**more["env"], "GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}})

    monkeypatch.setattr(subprocess, "run", by_another)
    assert provenance.commit() == {"commit": head, "dirty": False}
    alone = by_another(["git", "-C", str(project), "status"], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True)
    assert "dubious ownership" in alone.stderr


def test_without_git_there_is_no_commit(project, monkeypatch):
    repository(project)
    monkeypatch.setenv("PATH", str(project))
    assert provenance.commit() == {"commit": None, "dirty": None}
