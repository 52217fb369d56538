"""Mutation check: change one thing in the methods' code and see that a test fails. ``make mutants`` prints the score.

Every mutant is one replacement in one file, made in a copy of the package; a mutant that all its tests survive is a hole
in the tests, and the exit code says so. The tests have to pass on the copy as it is.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
METHODS = "lib/featuremining/methods/"
FM, BOXES, HEADS, MIXUP, BYOT, CSKD, TAUGHT, DROP, CUTMIX, CUTOUT = (METHODS + f"{name}.py" for name in (
    "feature_mining", "boxes", "heads", "mixup", "byot", "cs_kd", "distillation", "dropout", "cutmix", "cutout"))

MUTANTS = [     # file, what stands there (once), what is put there, tests that must notice
    (FM, "return first, 1 - first\n        other", "return first, first\n        other", "test_feature_mining.py"),
    (FM, "return first, 1 - first\n\n    def pooled", "return first, first\n\n    def pooled", "test_feature_mining.py"),
    (FM, "other if self.second == \"inside\" else 1 - other", "other", "test_feature_mining.py"),
    (FM, "clamp(min=1) if masked_mean else masks.shape[-1]", "clamp(min=1) if masked_mean else masks.shape[-1] - 1",
     "test_feature_mining.py"),
    (FM, "(masks.sum(-1, keepdim=True).clamp(min=1) if masked_mean", "(masks.shape[-1] if masked_mean", "test_feature_mining.py"),
    (BOXES, "start, half = at - (cut / 2).floor(), (cut / 2).floor()", "start, half = at - (cut / 2).floor(), (cut / 2).ceil()",
     "test_feature_mining.py"),
    (BOXES, "(u * (size - cut + 1)).floor()", "(u * (size - cut)).floor()", "test_feature_mining.py"),
    (FM, "return torch.cat([(1 - lam).sqrt(), at], dim=1)", "return torch.cat([1 - lam, at], dim=1)", "test_feature_mining.py"),
    (BOXES, "in_x = (cols >= x[0][:, None]) & (cols < x[1][:, None])", "in_x = (cols >= x[0][:, None]) & (cols <= x[1][:, None])",
     "test_feature_mining.py"),
    (FM, "self.stages = tuple(range(count - self.layers, count))", "self.stages = tuple(range(self.layers))",
     "test_feature_mining.py"),
    (FM, "parts = parts.detach() if stage in self.detach_stages else parts", "parts = parts.detach()", "test_feature_mining.py"),
    (FM, "use = (0, 1, 2) if self.share_fc == \"none\" else (0, 0, 1)", "use = (0, 0, 1)", "test_feature_mining.py"),
    (FM, "losses = {k: v / (1 + len(names))", "losses = {k: v / len(names)", "test_feature_mining.py"),
    (FM, "values = values * self.scales", "values = values + 0 * self.scales", "test_feature_mining.py"),
    (HEADS, "return torch.baddbmm(bias, parts.transpose(0, 1), weight)", "return torch.bmm(parts.transpose(0, 1), weight)",
     "test_feature_mining.py"),
    (FM, "shared, drawn = self.box_draw(steps, \"cpu\") if self.share_box else None, {}", "shared, drawn = None, {}",
     "test_feature_mining.py"),
    (MIXUP, "torch.lerp(y[partner], y, lam.to(y.dtype))", "y", "test_methods.py"),
    (MIXUP, "torch.lerp(x[partner], x, lam.to(x.dtype))", "torch.lerp(x, x[partner], lam.to(x.dtype))", "test_methods.py"),
    (MIXUP, "[: len(batch.x)].argsort()", "[: len(batch.x)].argsort() * 0", "test_mixing.py"),
    (BYOT, "out.trace.logits.detach(), out", "out.trace.logits, out", "test_byot.py"),
    (BYOT, "maps[-1].detach().to(y.dtype)", "maps[-1].to(y.dtype)", "test_byot.py"),
    (BYOT, "return self.temperature**2 if", "return self.temperature if", "test_byot.py"),
    (BYOT, "torch.cat([logits, trace.logits[None]]).mean(0)", "logits.mean(0)", "test_byot.py"),
    (BYOT, "layers += bottleneck(c_out, c_out, 2, squeeze)", "layers += bottleneck(c_out, c_out, 1, squeeze)", "test_byot.py"),
    (BYOT, "\"ce\": (1 - self.alpha) * soft_cross_entropy", "\"ce\": soft_cross_entropy", "test_byot.py"),
    (CSKD, "teacher = model(batch.x[half:])", "teacher = model(batch.x[:half])", "test_cs_kd.py"),
    (CSKD, "with torch.no_grad():", "with torch.enable_grad():", "test_cs_kd.py"),
    (CSKD, "self.weight * self.temperature**2 * kl", "self.weight * self.temperature * kl", "test_cs_kd.py"),
    (CSKD, "soft_kl(out.trace.logits, teacher, self.temperature)", "soft_kl(teacher, out.trace.logits, self.temperature)",
     "test_cs_kd.py"),
    (CSKD, "counts[mine] + place.long()", "counts[mine] + 0 * place.long()", "test_cs_kd.py"),
    (CSKD, "order = torch.randperm(len(labels), generator=generator)", "order = torch.arange(len(labels))", "test_cs_kd.py"),
    (TAUGHT, "net.eval().requires_grad_(False)", "net.train().requires_grad_(False)", "test_distillation.py"),
    (TAUGHT, "\"ce\": self.ce * out.losses[\"ce\"]", "\"ce\": out.losses[\"ce\"]", "test_distillation.py"),
    (TAUGHT, "self.taught(out.batch.x).logits", "self.taught(batch.x).logits", "test_distillation.py"),
    (TAUGHT, "feature_map.square().mean(1)", "feature_map.abs().mean(1)", "test_distillation.py"),
    (DROP, "torch.rand_like(like, dtype=torch.float32) < p", "torch.rand_like(like) < p", "test_dropout.py"),
    (DROP, "((height - block + 1) * (width - block + 1))", "(height * width)", "test_dropout.py"),
    (DROP, "mask, reach = F.pad(seeds, (block - 1,) * 4), 1", "mask, reach = F.pad(seeds, (block - 1,) * 4), 2",
     "test_dropout.py"),
    (DROP, "None if self.per_channel else 1", "1 if self.per_channel else None", "test_dropout.py"),
    (DROP, "lambda x: then(first(x))", "then", "test_dropout.py"),
    (DROP, "self.drop * progress if", "self.drop * (1 - progress) if", "test_dropout.py"),
    (DROP, "return coins(x[:, :, :1, :1], self.p)", "return coins(x[:1, :, :1, :1], self.p)", "test_dropout.py"),
    (DROP, "1 / (1 - self.p)", "1", "test_dropout.py"),
    (CUTMIX, "kept = 1 - mask.to(batch.y.dtype).mean()", "kept = mask.to(batch.y.dtype).mean()", "test_mixing.py"),
    (CUTMIX, "(1 - drawn[\"cutmix.lam\"]).sqrt()[None]", "(1 - drawn[\"cutmix.lam\"])[None]", "test_mixing.py"),
    (CUTOUT, "(cells < centre + half)", "(cells <= centre + half)", "test_mixing.py"),
]


def tested(folder: Path, tests: str) -> int:
    """Exit code of pytest on one file of tests, run on the package in ``folder``."""
    words = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--no-header", f"tests/methods/{tests}"]
    environment = {**os.environ, "PYTHONPATH": str(folder / "lib"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True).returncode


def caught(folder: Path, file: str, old: str, new: str, tests: str) -> bool:
    """Whether the tests fail on the mutant; the copy is as before afterwards."""
    path = folder / file
    text = path.read_text()
    if text.count(old) != 1:
        sys.exit(f"{file} does not hold exactly once: {old}")
    path.write_text(text.replace(old, new))
    try:
        return tested(folder, tests) == 1
    finally:
        path.write_text(text)


def main(words: list[str]) -> int:
    chosen = [m for m in MUTANTS if not words or any(word in m[0] for word in words)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("lib", "tests", "data/studies", "benchmarks"):
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        for tests in dict.fromkeys(m[3] for m in chosen):           # else every mutant would seem to be caught
            if tested(folder, tests):
                sys.exit(f"{tests} fails before anything is changed: see `pytest tests/methods/{tests}`.")
        survived = []
        for i, (file, old, new, tests) in enumerate(chosen, 1):
            began = time.monotonic()
            found = caught(folder, file, old, new, tests)
            survived += [] if found else [(file, old)]
            first = old.split("\n")[0]
            print(f"{i:3}/{len(chosen)} {'caught  ' if found else 'SURVIVED'} {time.monotonic() - began:4.0f} s  "
                  f"{Path(file).name}: {first}", flush=True)
    print(f"{len(chosen) - len(survived)} of {len(chosen)} mutants caught")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
