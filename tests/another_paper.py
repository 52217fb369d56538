"""A second paper in the form of a folder of `data/studies`, with one of everything that a study may hold."""

from importlib import import_module

import pytest

from featuremining import paths
from featuremining.studies.forms import _adapter as forms_adapter

PAPER = '''title = "Another Paper"
short = "Another"
authors = ["A. Uthor"]
year = 2023
venue = "A Journal"
prefix = "AP"
[looks]
seeds = [2, 3, 6]
planned = 3
share = 0.6
'''
CELLS = '''title = "Another: Table 1"
section = "4"
dataset = "cifar100"
[tables]
"AP.T1" = "Table 1. Another table"
[recipes]
"AP.T1" = { epochs = 60 }
[conditions.noisy]
label = "noisy"
data = { noise = "symmetric", rate = 0.5 }
smoke = { per_class = 20 }
recipe = { test_every = 10 }
[smoke]
dataset = "parts"
data = { train = 900 }
[methods]
baseline = []
mixup = [{ name = "mixup" }]
[options]
mixup = { stem_stride = 2 }
[networks]
resnet20 = {}
[labels]
baseline = "Baseline"
mixup = "Mixup"
resnet20 = "ResNet-20"
[cells]
"AP.T1.resnet20.baseline" = { published = "70.00", spread = "0.20", n = 3 }
"AP.T1.resnet20.mixup" = { published = "71.00", spread = "0.20", n = 3 }
"AP.T1.resnet20.mixup.noisy" = { n = 3 }
'''
COSTS = '''title = "Another: Table 2"
section = "5"
dataset = "cifar100"
task = "cost"
[tables]
"AP.T2" = "Table 2. Costs"
[methods]
baseline = []
mixup = [{ name = "mixup" }]
[networks]
resnet20 = {}
[labels]
baseline = "Baseline"
mixup = "Mixup"
resnet20 = "ResNet-20"
[cells]
"AP.T2.resnet20.baseline" = { seconds = "0.4", mib = "90" }
"AP.T2.resnet20.mixup" = { seconds = "0.5", mib = "100" }
'''
SENTENCES = '''["AP.T1.better"]
section = "4"
quote = "better"
kind = "order"
tables = ["AP.T1"]
higher = ["mixup"]
lower = ["baseline"]
reading = { reproduced = "ours {ours}" }
["AP.T1.gain"]
section = "4"
quote = "a point"
kind = "gain"
cells = ["AP.T1.resnet20.mixup", "AP.T1.resnet20.baseline"]
values = ["71.00", "70.00"]
difference = "1.00"
["AP.T1.cheap"]
section = "5"
quote = "cheap"
kind = "cost"
cells = ["AP.T2.resnet20.mixup"]
at_most = 1.1
["AP.again"]
section = "6"
quote = "still better"
kind = "same"
same_as = "AP.T1.better"
'''
CHOICES = '''[AP1]
title = 'x'
question = 'y?'
evidence = 'z'
ours = 'a'
others = 'b'
[AP2]
title = 'x'
question = 'y?'
evidence = 'z'
[AP2.settings]
'method.mixup.alpha' = ['1.0', '0.2']
'''
NUMBERS = '''[more]
title = "error in percent"
source = "a page"
columns = ["top-1", "top-5"]
[more.rows]
plain = ["23.85", "7.13"]
other = ["1e10", ""]
'''
RULE = '''
[rules."AP.T1"]
question = "?"
words = "w"
outcome = "last"
beside = "best"
level = 0.95
seeds = [0, 1]
family = ["AP.T1.resnet20.mixup"]
'''
AUDIT = '''[images]
cifar100 = 10000
[[slips]]
section = "1"
quote = "q"
note = "n"
[[baselines]]
network = "resnet56"
accuracy = 72.34
source = "s"
recipe = "r"
plain = true
'''
FILES = {"paper.toml": PAPER, "cells/another.toml": CELLS, "cells/costs.toml": COSTS, "sentences.toml": SENTENCES,
         "choices.toml": CHOICES, "numbers.toml": NUMBERS}


def put(folder, **more):
    """All files of the paper into a folder ``another`` below."""
    target = folder / "another"
    (target / "cells").mkdir(parents=True)
    for name, text in {**FILES, **more}.items():
        (target / name).write_text(text, encoding="utf-8")
    return target


def forget():
    """What was read of studies before."""
    for file in (paths.ROOT / "lib/featuremining/studies").glob("*.py"):
        for kept in vars(import_module(f"featuremining.studies.{file.stem}")).values():
            if kept is not forms_adapter:
                getattr(kept, "cache_clear", int)()


@pytest.fixture
def another(studies_copy):
    """Beside the papers there are."""
    return put(studies_copy)
