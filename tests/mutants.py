"""Mutation check: change one thing in the code of methods or layers and see that a test fails. ``make mutants`` prints the score.

A mutant is a function, by module and qualified name, and one expression in it that becomes another. Expressions are compared
by their structure, and the letters A to E stand for any expression: neither layout nor the names of variables matter. It is made
in a copy of the package; a mutant that all its tests survive is a hole in the tests, and the exit code says so. The tests have
to pass on the copy as it is.
"""

import ast
import os
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PACKAGE = "lib/featuremining"


class Mutant(NamedTuple):
    """``old``, which stands once in the function ``where``, becomes ``new``; ``tests`` must notice."""

    where: str      # module:qualified.name
    old: str
    new: str
    tests: str

    @property
    def path(self) -> str:
        return f"{PACKAGE}/{self.where.split(':')[0].replace('.', '/')}.py"


def within(tests: str, module: str, *changes: tuple[str, str, str]) -> list[Mutant]:
    """Mutants of one module, each (qualified name, old, new)."""
    return [Mutant(f"{module}:{name}", old, new, tests) for name, old, new in changes]


MUTANTS = [
    *within("test_protocol.py", "protocol",
            ("Outcome.plus", "[A for A in B if A in C]", "[]"),
            ("Outcome.plus", "A if B is None else C", "A")),
    *within("test_feature_mining.py", "protocol",
            ("pool_maps", "A.split([1, B - 1], dim=1)", "A.split([B - 1, 1], dim=1)[::-1]")),
    *within("test_feature_mining.py", "methods.segments",
            ("OneBox.split", "(A, 1 - A)", "(A, A)"),
            ("Points.split", "(A, 1 - A)", "(A, A)"),
            ("Channels.split", "(A, 1 - A)", "(A, A)"),
            ("TwoBoxes.split", "A if B == 'inside' else 1 - A", "A"),
            ("OneBox.shared", "A if B else None", "None"),
            ("pooling_matrix", "A.clamp(min=1) if B else C", "A.clamp(min=1) if B else C - 1"),
            ("pooling_matrix", "A.clamp(min=1) if B else C", "C"),
            ("Boxes.draw", "(1 - A).sqrt()", "1 - A"),
            ("Boxes.draw", "sqrt(A.area) * B", "A.area * B"),
            ("Boxes.mask", "(A, B - C.to(D.dtype))", "(A, B)"),
            ("bernoulli", "A < B", "A >= B")),
    *within("test_feature_mining.py", "methods.boxes",
            ("interval", "(A - (B / 2).floor(), (B / 2).floor())", "(A - (B / 2).floor(), (B / 2).ceil())"),
            ("interval", "(A * (B - C + 1)).floor()", "(A * (B - C)).floor()"),
            ("box_mask", "(A >= x[0][:, None]) & (A < x[1][:, None])", "(A >= x[0][:, None]) & (A <= x[1][:, None])")),
    *within("test_feature_mining.py", "methods.heads",
            ("Heads.forward", "torch.baddbmm(A, B, C)", "torch.bmm(B, C)")),
    *within("test_feature_mining.py", "methods.mine",
            ("Mine.logits", "A.detach() if B else A", "A.detach()"),
            ("Mine.__init__", "(0, 1, 2) if A else (0, 0, 1)", "(0, 0, 1)"),
            ("Mine.pooled", "A if B.per_sample else 1", "1"),
            ("Mine.adapted", "A(B * C)", "A(B)")),
    *within("test_feature_mining.py", "methods.feature_mining",
            ("FeatureMining.prepare", "tuple(range(A - B, A))", "tuple(range(B))"),
            ("FeatureMining.step", "(A / (1 + len(A)), B)", "(A / len(A), B)"),
            ("FeatureMining.step", "A * B.scales.to(C)", "A + 0 * B.scales.to(C)"),
            ("FeatureMining.draw", "A.shared(B, 'cpu')", "None"),
            ("FeatureMining.step", "None if A else B.shared(C, D)", "None"),
            ("FeatureMining.lacks", "A and B not in A", "False")),
    *within("test_mixing.py", "methods.mixup",
            ("mix", "A._replace(x=B, y=C)", "A._replace(x=B, y=A.y)"),
            ("mix", "A._replace(x=torch.lerp(B[C], B, D), y=E)", "A._replace(x=torch.lerp(B, B[C], D), y=E)"),
            ("Mixup.step", "A.argsort()", "A.argsort() * 0")),
    *within("test_byot.py", "methods.byot",
            ("BYOT.step", "A.logits.detach()", "A.logits"),
            ("BYOT.step", "A.maps[-1].detach()", "A.maps[-1]"),
            ("BYOT.scale", "A**2", "A"),
            ("BYOT.predictions", "torch.cat([A, B]).mean(0)", "A.mean(0)"),
            ("adaptation", "bottleneck(A, A, 2, B)", "bottleneck(A, A, 1, B)"),
            ("BYOT.step", "(1 - A) * B.score(C, D)", "B.score(C, D)"),
            ("BYOT.step", "(1 - A) * B.losses['ce']", "B.losses['ce']")),
    *within("test_cs_kd.py", "methods.cs_kd",
            ("CSKD.step", "A(B[C:])", "A(B[:C])"),
            ("CSKD.step", "torch.no_grad()", "torch.enable_grad()"),
            ("CSKD.step", "A * B**2", "A * B"),
            ("CSKD.step", "soft_kl(A, B, C)", "soft_kl(B, A, C)"),
            ("partners", "A + B.long()", "A + 0 * B.long()"),
            ("CSKD.sampler.epoch", "torch.randperm(A, generator=B)", "torch.arange(A)")),
    *within("test_distillation.py", "methods.distillation",
            ("load_teacher", "A.eval()", "A.train()"),
            ("KD.step", "A.ce * B.losses['ce']", "B.losses['ce']"),
            ("KD.step", "A.taught(B.batch.x)", "A.taught(batch.x)"),
            ("attention", "A.square()", "A.abs()")),
    *within("test_geometric.py", "methods.geometry",
            ("spanning_tree", "(A < B) & ~C", "(A > B) & ~C"),
            ("spanning_tree", "A | A.transpose(1, 2)", "A"),
            ("nearest", "A.argsort(dim=2, stable=True)", "A.argsort(dim=2, stable=True, descending=True)"),
            ("joined", "A | A.transpose(1, 2)", "A"),
            ("affinity_contrast", "A.square()", "A"),
            ("affinity_contrast", "torch.where(A > 0, B, 0)", "A"),
            ("in_means", "A * (A - 1)", "A * A"),
            ("reconstruction_weights", "A / A.sum(2, keepdim=True)", "A"),
            ("reconstruction_weights", "A * torch.where(B > 0, B, 1)", "A * torch.ones_like(B)"),
            ("reconstruction_error", "A.mean(1, keepdim=True)", "0 * A"),
            ("averaging", "A >= B * C // D", "A >= B * (C // D)")),
    *within("test_geometric.py", "methods.geometric",
            ("places", "A + B * torch.arange(C, device=D)", "A"),
            ("places", "(A[-1] * B).long()", "0"),
            ("Geometry.prepare", "A - B + C", "A"),
            ("Geometry.compared", "A * B.compare(C, D)", "B.compare(C, D)"),
            ("Geometry.step", "A.taught(B.batch.x)", "A.taught(batch.x)"),
            ("kept_statistics", "isinstance(A, nn.BatchNorm2d)", "False"),
            ("Geometric.compare", "F.mse_loss(geometry.affinity_contrast(A, B), geometry.affinity_contrast(C, B))",
             "F.mse_loss(geometry.affinity_contrast(A, geometry.spanning_tree(A)), geometry.affinity_contrast(C, B))"),
            ("GeometricPattern.compare", "A.sum((1, 2)) / B.sum((1, 2))", "A.mean((1, 2))"),
            ("GeometricPattern.compare", "geometry.joined(A, B) | geometry.joined(C, B)", "geometry.joined(A, B)"),
            ("GeometricLLE.compare", "geometry.reconstruction_weights(A, B, C)",
             "geometry.reconstruction_weights(student, B, C)")),
    *within("../layers/test_low_rank.py", "layers.low_rank",
            ("low_rank_projection", "A @ A.mT", "A.mT @ A"),
            ("shrunk", "A.clamp(min=0)", "A"),
            ("shrunk", "1 - A", "1 - A.sqrt()"),
            ("robust_projection", "torch.linalg.inv(A)", "torch.eye(len(A), dtype=a.dtype)"),
            ("robust_projection", "A * scale", "A"),
            ("shorter", "(A - B).clamp(min=0)", "A"),
            ("scores", "torch.special.entr(A)", "-torch.special.entr(A)"),
            ("informative", "ceil(round(A, 9))", "ceil(A)"),
            ("informative", "A.sort(dim=1, descending=True, stable=True)", "A.sort(dim=1, stable=True)"),
            ("LowRankRecovery.columns", "A.permute(0, 2, 1, 3)", "A.permute(0, 3, 1, 2)"),
            ("LowRankRecovery.learn", "A - B @ A", "B @ A"),
            ("LowRankRecovery.learn", "A.rho**2 * B[..., -1]", "A.rho * B[..., -1]"),
            ("LowRankRecovery.remember", "len(A) / B.learnt", "1 / B.learnt"),
            ("LowRankRecovery.remember", "1 - A.momentum", "A.momentum"),
            ("LowRankRecovery.begin_epoch", "A.average == 'epoch'", "True"),
            ("LowRankRecovery.subspaces", "A % B.update_every == 0", "True"),
            ("LowRankRecovery.forward", "A + B.gate * (C - A)", "C + B.gate * (A - C)")),
    *within("../layers/test_convmix.py", "layers.convmix",
            ("spread", "F.adaptive_avg_pool1d(A, B).T", "F.adaptive_max_pool1d(A, B).T"),
            ("ConvMix.__init__", "torch.eye(A)[-1]", "torch.eye(A)[0]"),
            ("ConvMix.__init__", "A * B / C", "A"),
            ("ConvMix.mixed", "A.after(B)", "B"),
            ("ConvMix.shares", "A / A.sum()", "A"),
            ("pooled", "A == B", "False"),
            ("pooled", "A != B", "False")),
    *within("../layers/test_convmix.py", "layers.unit_classifier",
            ("unit_logits", "F.normalize(A, dim=1)", "A"),
            ("UnitClassifier.forward", "A.renormalise and A.training", "A.renormalise")),
    *within("test_ical.py", "methods.ical",
            ("mean_cosine", "F.normalize(A, dim=1)", "A"),
            ("mean_cosine", "A.mean(0)", "A.sum(0)"),
            ("off_diagonal", "A.flatten()[1:]", "A.flatten()[:-1]"),
            ("ICAL.watch", "1 - A.memory", "A.memory"),
            ("ICAL.watch", "torch.where(A > 0, B, C)", "B"),
            ("ICAL.penalty", "(A - B.margin).relu()", "A - B.margin"),
            ("ICAL.step", "A.weight * A.penalty(B, C)", "A.penalty(B, C)")),
    *within("../measuring/test_neighbours.py", "measuring.detail",
            ("slopes", "A.mean(1)", "A.sum(1)"),
            ("likeness", "A[:, 1:-1, 1:-1]", "A"),
            ("likeness", "A.norm(dim=1) * B.norm(dim=1)", "A.norm(dim=1)"),
            ("fine", "torch.fft.fftfreq(A, device=B).abs() > 0.25", "torch.fft.fftfreq(A, device=B) > 0.25"),
            ("fine", "A[:, None] | B", "A[:, None] & B"),
            ("_shown", "A.flatten(2).all(2)", "A.flatten(2).any(2)"),
            ("shades", "255 * (A - B) / C", "255 * A / C")),
    *within("../measuring/test_neighbours.py", "measuring.view",
            ("area", "A.clamp(min=0)", "A.abs()"),
            ("area", "A.sum(1) + 1", "A.sum(1)"),
            ("averaged_map", "A.mixed(B)", "B[-1]")),
    *within("../measuring/test_neighbours.py", "measuring.confusion",
            ("confusion", "A.sum(1, keepdim=True)", "A.sum(0, keepdim=True)"),
            ("of_pairs", "(A + B) / 2", "A"),
            ("numbers", "A.argsort(stable=True)", "A.argsort(stable=True, descending=True)"),
            ("measure", "of[y] == of[guess]", "of[y] != of[guess]")),
    *within("../judging/test_sides.py", "judging.sides",
            ("of_pair", "A[:n] if look else A", "A[-n:]"),
            ("of_pair", "Summary(A, 0.0, 0.0) if B else C", "C"),
            ("_values", "A >= B", "A > B"),
            ("by_seed", "A - B[C]", "A"),
            ("by_seed", "A.get(runs[seed].id) == runs[seed].weights", "True"),
            ("raised", "A + by", "A - by")),
    *within("test_dropout.py", "methods.dropout",
            ("coins", "torch.rand_like(A, dtype=torch.float32)", "torch.rand_like(A)"),
            ("gamma", "(A - B + 1) * (C - B + 1)", "A * C"),
            ("block_mask", "(A, 1)", "(A, 2)"),
            ("DropBlock.seeds", "None if A else 1", "1 if A else None"),
            ("after", "A if B is None else C", "A"),
            ("DropBlock.at", "A * B if C else A", "A * (1 - B) if C else A"),
            ("SpatialDropout.dropped", "A[:, :, :1, :1]", "A[:1, :, :1, :1]"),
            ("Dropout.edit", "1 / (1 - A)", "1")),
    *within("../layers/test_covariance.py", "layers.covariance",
            ("factor", "A - A.mean(-1, keepdim=True) if B else A", "A"),
            ("factor", "A * B.sqrt()", "A * B")),
    *within("../layers/test_roots.py", "layers.spectral",
            ("differences_of_power", "1 / A.masked_fill(~B, 1)", "2 / A.masked_fill(~B, 1)"),
            ("differences_of_power", "1 + (A**2 - 1) * B**2 / 6", "0"),
            ("alive", "max(4.0, A)", "1e9"),
            ("alive", "max(4.0, A)", "0.0"),
            ("Lyapunov.backward", "-(A @ B + B @ A)", "-(A @ B)")),
    *within("../layers/test_roots.py", "layers.eigen_roots",
            ("_OfFactor.backward", "A - B * C", "A"),
            ("_OfFactor.forward", "torch.where(A, B, 1) ** 2", "torch.where(A, B, 1)"),
            ("_KMatrix.backward", "torch.where(A, B, 0)", "B"),
            ("_KMatrix.backward", "A * scale ** (B.power - 1)", "A"),
            ("k_matrix", "torch.where(A, B, -C)", "torch.where(A, B, C)"),
            ("svd_trunc", "torch.minimum(A, B * scale)", "A"),
            ("svd_trunc", "torch.minimum(A, B * scale)", "torch.minimum(A, B + 0 * scale)"),
            ("svd_topn", "A - round(B * A)", "0"),
            ("svd_taylor", "A + 1", "A"),
            ("svd_power.kernel", "A + 1", "A"),
            ("svd_pade", "torch.maximum(A, B)", "A"),
            ("svd_newton", "A + (B - A).detach()", "A")),
    *within("../layers/test_roots.py", "layers.iterative_roots",
            ("steps", "1.5 * A - 0.5 * B", "1.5 * A - B"),
            ("_ByProducts.backward", "torch.baddbmm(A @ B, C, D)", "A @ B"),
            ("_ByProducts.backward", "torch.baddbmm(A, B, C, beta=-0.5)", "-A / 2"),
            ("_ByProducts.backward", "steps(A, *B.of)[0]", "steps(A, 1, 0)[0]"),
            ("_Around.backward", "symmetric(A) @ B", "A @ B"),
            ("of_eigenvalues", "torch.addcmul(A, B, C)", "A"),
            ("of_eigenvalues", "A - 1.5", "A"),
            ("of_eigenvalues", "A.triu() + A.triu(1).mT", "A"),
            ("shares", "torch.where(alive(A), A, 0)", "A"),
            ("newton_schulz", "A.sqrt() * by_products(B, C, 0)", "by_products(B, C, 0)"),
            ("newton_schulz_of_factor", "by_products(A, B, 1) / C.sqrt()", "by_products(A, B, 1)"),
            ("inverse_newton_schulz", "by_products(A, B, 1) / C.sqrt()", "by_products(A, B, 1)"),
            ("shares", "torch.ones_like(A) if B == 'trace' else A", "torch.ones_like(A)"),
            ("pulled", "(A * B).sum(-1, keepdim=True) * C", "0 * C"),
            ("_OfMatrix.forward", "A / 2 - B * C", "A / 2"),
            ("_OfMatrix.backward", "A / B", "A"),
            ("_OfFactor.forward", "-A / 2 - B * C", "-A / 2 + B * C"),
            ("_OfFactor.backward", "symmetric(A) @ B", "A @ B")),
    *within("../layers/test_roots.py", "layers.series_roots",
            ("taylor", "(A - B) / (A + 1)", "(A - B) / (A + 2)"),
            ("sign_iteration", "A @ B - C @ B @ C", "A @ B"),
            ("_Series.backward", "-A @ B @ A", "A @ B @ A")),
    *within("../layers/test_pooling.py", "layers.pooling",
            ("CovariancePooling.scaled", "(1 + A)[..., None, None]", "A[..., None, None]"),
            ("CovariancePooling.scaled", "A ** -B", "A ** B"),
            ("CovariancePooling.vector", "torch.promote_types(A.dtype, self.dtype)", "A.dtype"),
            ("Hybrid.forward", "A if B else C", "C"),
            ("Hybrid.set_extra_state", "bool(A)", "False"),
            ("eigenvalues", "A * (B @ A)", "A * (B @ A).detach()")),
    *within("../layers/test_gsop.py", "layers.gsop",
            ("rows_of", "torch.promote_types(A.dtype, torch.float32)", "A.dtype"),
            ("rows_of", "covariance(A)", "A @ A.mT / A.shape[-1]"),
            ("scales", "nn.Conv2d(A, 4 * A, (A, 1), groups=A)", "nn.Conv2d(A, 4 * A, (A, 1))"),
            ("ChannelGate.__init__", "nn.Conv2d(A, B, 1, C)", "nn.Conv2d(A, B, 1)"),
            ("SpatialGate.forward", "A.flatten(2).mT", "A.flatten(2) @ A.flatten(2).mT"),
            ("over", "averages(A, B)", "F.interpolate(A, B)"),
            ("GSoP.forward", "A.relu() if B.relu else A", "A"),
            ("GSoP.forward", "(A + B) / 2", "A + B"),
            ("GSoP.forward", "torch.maximum(*A)", "torch.minimum(*A)")),
    *within("../layers/test_idccp.py", "layers.idccp",
            ("d4", "A.flip(-1)", "A.flip(-2).flip(-1)"),
            ("d4", "range(4)", "(0, 1, 2, 2)"),
            ("signed_root", "A.sign() * B", "B"),
            ("IDCCP.__init__", "A == 'parametrised'", "False"),
            ("IDCCP.average", "A.movedim(0, 2)", "A.movedim(0, 1)"),
            ("IDCCP.average", "COPIES**-0.5", "COPIES**-1"),
            ("IDCCP.forward", "A.roots == 2", "False"),
            ("IDCCP.forward", "covariance_sqrt(A, power=0.25)", "covariance_sqrt(A, power=0.5)")),
    *within("../layers/test_idccp.py", "models.staged",
            ("StagedNet.maps", "A if B is None else C", "A"),
            ("StagedNet.trace", "A[:len(B)]", "A[-len(B):]")),
    *within("../layers/test_gsop.py", "models.inserts",
            ("attach", "A[-1:]", "A[:1]"),
            ("_fitting", "A.out_channels", "A.in_channels")),
    *within("../models/test_heads.py", "methods.mine",
            ("Mine.__init__", "A and B.mean_pooled", "A")),
    *within("../models/test_heads.py", "protocol",
            ("pool_maps", "A not in B or not C", "A not in B")),
    *within("test_mixing.py", "methods.cutmix",
            ("paste", "1 - A.mean()", "A.mean()"),
            ("CutMix.step", "(1 - A).sqrt()", "1 - A")),
    *within("test_mixing.py", "methods.cutout",
            ("inside", "A < B", "A <= B")),
]


def expression(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def binds(pattern, found, letters: dict[str, ast.expr]) -> bool:
    """Whether ``found`` has the structure of ``pattern``; ``letters`` then holds what its letters stand for."""
    if isinstance(pattern, ast.Name) and pattern.id in set("ABCDE"):
        known = letters.setdefault(pattern.id, found)
        return isinstance(found, ast.expr) and ast.unparse(known) == ast.unparse(found)
    if isinstance(pattern, list):
        return isinstance(found, list) and len(pattern) == len(found) and all(
            binds(p, f, letters) for p, f in zip(pattern, found, strict=True))
    if isinstance(pattern, ast.AST):
        return type(pattern) is type(found) and all(
            binds(getattr(pattern, name, None), getattr(found, name, None), letters) for name in pattern._fields if name != "ctx")
    return pattern == found


class Fill(ast.NodeTransformer):
    """Puts what the letters stand for in their places."""

    def __init__(self, letters: dict[str, ast.expr]):
        self.letters = letters

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.letters.get(node.id, node)


def function(tree: ast.Module, name: str) -> ast.AST:
    """The function or method of this qualified name."""
    node: ast.AST = tree
    for word in name.split("."):
        node = next((n for n in ast.walk(node) if isinstance(n, ast.ClassDef | ast.FunctionDef) and n.name == word), None)
        if node is None:
            sys.exit(f"There is no {name} to be changed.")
    return node


def mutated(text: str, mutant: Mutant) -> str:
    """A file's text with the mutant's change, and else as it was."""
    found = []
    for node in ast.walk(function(ast.parse(text), mutant.where.split(":")[1])):
        letters: dict[str, ast.expr] = {}
        if isinstance(node, ast.expr) and binds(expression(mutant.old), node, letters):
            found.append((node, ast.unparse(Fill(letters).visit(expression(mutant.new)))))
    if len(found) != 1:
        sys.exit(f"{mutant.where} does not hold exactly once: {mutant.old}")
    ((node, new),) = found
    lines = text.encode().splitlines(keepends=True)             # columns are counted in bytes
    starts = [0, *accumulate(map(len, lines))]
    begin, end = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
    return (text.encode()[:begin] + f"({new})".encode() + text.encode()[end:]).decode()


def tested(folder: Path, tests: str) -> int:
    """Exit code of pytest on one file of tests, run on the package in ``folder``."""
    words = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--no-header", f"tests/methods/{tests}"]
    environment = {**os.environ, "PYTHONPATH": str(folder / "lib"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True).returncode


def caught(folder: Path, mutant: Mutant) -> bool:
    """Whether the tests fail on the mutant; the copy is as before afterwards."""
    path = folder / mutant.path
    text = path.read_text()
    path.write_text(mutated(text, mutant))
    try:
        return tested(folder, mutant.tests) == 1
    finally:
        path.write_text(text)


def main(words: list[str]) -> int:
    chosen = [m for m in MUTANTS if not words or any(word in m.where for word in words)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("lib", "tests", "data/studies", "benchmarks", "book"):     # tests import the book's builder
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        for tests in dict.fromkeys(m.tests for m in chosen):           # else every mutant would seem to be caught
            if tested(folder, tests):
                sys.exit(f"{tests} fails before anything is changed: see `pytest tests/methods/{tests}`.")
        survived = []
        for i, mutant in enumerate(chosen, 1):
            began = time.monotonic()
            found = caught(folder, mutant)
            survived += [] if found else [mutant]
            print(f"{i:3}/{len(chosen)} {'caught  ' if found else 'SURVIVED'} {time.monotonic() - began:4.0f} s  "
                  f"{mutant.where}: {mutant.old} -> {mutant.new}", flush=True)
    print(f"{len(chosen) - len(survived)} of {len(chosen)} mutants caught")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
