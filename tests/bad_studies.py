"""Bad files of a paper: file, what is replaced, by what, and what the sentence says besides the file. One of three tables that
`test_bad_inputs.py` goes through."""

CELL, COST, PAPER, SAID = "cells/another.toml", "cells/costs.toml", "paper.toml", "sentences.toml"
MIXUP = '{ published = "71.00", spread = "0.20", n = 3 }'


def _printed(field, value):
    old = {"published": '"71.00"', "spread": '"0.20", n = 3 }\n"AP.T1.resnet20.mixup.noisy"',
        "n": 'n = 3 }\n"AP.T1.resnet20.mixup.'}
    new = {"spread": f'{value}, n = 3 }}\n"AP.T1.resnet20.mixup.noisy"', "n": f'n = {value} }}\n"AP.T1.resnet20.mixup.'}
    return CELL, old[field], new.get(field, value), rf"cells\.AP\.T1\.resnet20\.mixup\.{field}:"


STUDIES = [
    # numbers of cells
    *(_printed("published", v) for v in ("71.0", "71", "nan", "inf", '"nan"', '"-3"', '""', '"7535"', '"1e2"', '"71.00 "', "true",
                                         '["71.00"]', '"٧١"', '{ text = "71.00" }')),
    *(_printed("spread", v) for v in ("0.2", "-0.2", '"-0.2"', '"0,2"', '"± 0.2"', '"200"')),
    *(_printed("n", v) for v in ("0", "-1", "1.5", '"3"', "true", "nan", "[3]")),
    (COST, 'seconds = "0.5"', 'seconds = "0"', r"mixup\.seconds: a printed number is above 0"),
    (COST, 'mib = "100"', "mib = 100", r"mixup\.mib: a printed number is its digits"),
    (COST, ', mib = "100"', "", "needs published"), (CELL, ', spread = "0.20", n = 3 }\n"AP.T1.resnet20.mixup.',
        ' }\n"AP.T1.resnet20.mixup.',
                                                    "needs published"),
    (CELL, f'"AP.T1.resnet20.mixup" = {MIXUP}', '"AP.T1.resnet20.mixup" = 71.0', r"mixup: Input should be a valid dict.*71\.0"),
    (CELL, f'"AP.T1.resnet20.mixup" = {MIXUP}', '"AP.T1.resnet20.mixup" = []', r"mixup: Input should be a valid dict"),
    (CELL, 'published = "71.00"', 'publisht = "71.00"', r"mixup\.publisht: there is no such field"),
    # ids
    (CELL, '"AP.T1.resnet20.mixup" =', '"T1.resnet20.mixup" =', "another prefix than its paper"),
    (CELL, '"AP.T1.resnet20.mixup" =', '"AP.T1.mixup" =', "is no id"),
    (CELL, '"AP.T1.resnet20.mixup" =', '"" =', "is no id"),
    (CELL, '"AP.T1.resnet20.mixup" =', '"AP.T1.resnet56.mixup" =', "no network of this study 'resnet56'"),
    (CELL, '"AP.T1.resnet20.mixup" =', '"AP.T1.resnet20.mixip" =', "no method of this study 'mixip'. Did you mean 'mixup'"),
    (CELL, '"AP.T1.resnet20.mixup" =', '"AP.T3.resnet20.mixup" =', "no table of this study 'AP.T3'"),
    (COST, '"AP.T2" = ', '"AP.T1" = ', "AP.T1 stands in another.toml, too"),
    (CELL, "mixup.noisy", "mixup.quiet", "no condition of this study 'quiet'"),
    # the rest of a file of cells
    (CELL, 'title = "Another: Table 1"\n', "", r"title: it is missing"),
    (CELL, 'section = "4"', "section = 4", r"section: .*got 4"),
    (CELL, '"cifar100"', '"cifar"', r"dataset: There is no data set 'cifar'"), (CELL, '"cifar100"', "100", "dataset: "),
    (CELL, 'section = "4"', 'section = "4"\ncolour = "red"', "colour: there is no such field"),
    (CELL, '"AP.T1" = "Table 1. Another table"', '"T1" = "Table 1"', "T1 is no table of this paper"),
    (CELL, '"Table 1. Another table"', "1", r"tables\.AP\.T1: "),
    (CELL, '"AP.T1" = { epochs = 60 }', '"AP.T9" = { epochs = 60 }', r"recipes: AP\.T9 is no table of it"),
    (CELL, "epochs = 60", "epochs = 1.5", "A recipe's epochs can't be 1.5"),
    (CELL, "epochs = 60", "momentum = 7", "A recipe's momentum can't be 7"), (CELL, "epochs = 60", "lr = nan",
        "A recipe's lr can't be nan"),
    (CELL, "epochs = 60", "epoch = 60", "A recipe has no 'epoch'"), (CELL, "{ epochs = 60 }", "60", r"recipes\.AP\.T1: "),
    (CELL, "test_every = 10", "test_every = 0", "A recipe's test_every can't be 0"),
    (CELL, 'label = "noisy"\n', "", r"conditions\.noisy\.label: it is missing"),
    (CELL, "rate = 0.5", "rate = 2.0", r"conditions\.noisy\.data\.rate: "), (CELL, "rate = 0.5", "rate = nan", r"data\.rate: "),
    (CELL, '"symmetric"', '"symetric"', r"data\.noise: There is no noise 'symetric'"),
    (CELL, "per_class = 20", "per_class = 0", r"smoke\.per_class: "),
    (CELL, "per_class = 20", "per_clas = 20", r"smoke\.per_clas: "),
    (CELL, "train = 900", "train = -900", r"smoke\.data\.train: "),
    (CELL, 'dataset = "parts"', 'dataset = "part"', r"smoke\.dataset: "),
    (CELL, 'mixup = [{ name = "mixup" }]', 'mixup = [{ nam = "mixup" }]', r"methods\.mixup\.0\.name: it is missing"),
    (CELL, 'mixup = [{ name = "mixup" }]', 'mixup = ["mixup"]', r"methods\.mixup\.0: "),
    (CELL, "mixup = { stem_stride = 2 }", "mixap = { stem_stride = 2 }", "options: mixap is no method of it"),
    (CELL, "resnet20 = {}", "resnet20 = 20", r"networks\.resnet20: "),
    (CELL, 'mixup = "Mixup"\n', "", "labels: mixup has none"),
    (CELL, 'mixup = "Mixup"', 'mixup = "Mixup"\nmixip = "M"', "labels: mixip is no network or method of it"),
    (CELL, 'dataset = "cifar100"', 'dataset = "cifar100"\nbaseline = "plain"', "baseline: plain is no method of it"),
    (CELL, 'dataset = "cifar100"', 'dataset = "cifar100"\ntask = "sleep"', "task: "),
    (CELL, 'dataset = "cifar100"', 'dataset = ', "Invalid value"), (CELL, "[networks]", "[networks", "at line"),
    (CELL, 'resnet20 = "ResNet-20"', 'resnet20 = "ResNet-20"\nresnet20 = "again"', "Cannot overwrite"),
    # rules
    *((CELL, old, new, rf"rules\.AP\.T1.*{says}") for old, new, says in (
        ('"last"\nbeside', '"median"\nbeside', "outcome: "), ('beside = "best"', 'beside = "worst"', "beside: "),
        ("0.95", "2.0", "level: "), ("0.95", "nan", "level: "), ("[0, 1]", "[0]", "seeds: "),
        ("[0, 1]", "[0, 0]", "must differ"),
        ("[0, 1]", "[0, -1]", r"seeds\.1: "), ('family = ["AP.T1.resnet20.mixup"]', "family = []", "family: "),
        ('family = ["AP.T1.resnet20.mixup"]', 'family = ["AP.T1.resnet20.baseline"]', "nothing to be compared with"),
        ('family = ["AP.T1.resnet20.mixup"]', 'family = ["AP.T1.resnet20.mixap"]', "no cell 'AP.T1.resnet20.mixap'"),
        ("level", "levle", "level"), ("[0, 1]", '[0, 1]\nagainst = ["a", "b"]', "one length"))),
    (CELL, '[rules."AP.T1"]', '[rules."X3"]', "rules: X3 is no table of it"),
    # paper.toml
    *((PAPER, old, new, says) for old, new, says in (
        ("year = 2023\n", "", "year: it is missing"), ("2023", '"2023"', "year: "), ("2023", "20233", "year: "), ("2023", "nan",
            "year: "),
        ('["A. Uthor"]', '"A. Uthor"', "authors: "), ('["A. Uthor"]', "[]", "authors: "),
        ('["A. Uthor"]', "[1]", r"authors\.0: "),
        ("venue", "venu", "venu"), ("[2, 3, 6]", "[3, 3, 6]", "looks: looks rise from two seeds on"),
        ("[2, 3, 6]", '["2", 3, 6]', r"looks\.seeds\.0: "), ("[2, 3, 6]", "[]", r"looks\.seeds: "),
        ("planned = 3", "planned = 4", "the planned one is among them"), ("share = 0.6", "share = 1.1", r"looks\.share: "),
        ("share = 0.6", "share = nan", r"looks\.share: "), ("[looks]", "[look]", "look"), ('"AP"', "7", "prefix: "),
        ('"AP"', '"T"', "prefix: "), ('"Another"', '""', "short: "))),
    # sentences
    *((SAID, old, new, says) for old, new, says in (
        ('"order"', '"ordre"', r"AP\.T1\.better\.kind: "), ('["AP.T1"]', '"AP.T1"', r"better\.tables: "),
        ("higher", "heigher", r"better\.heigher: there is no such field"), ('["mixup"]', '["mixap"]',
            "no method in AP.T1 'mixap'"),
        ('["AP.T1"]', '["AP.T9"]', "AP.T9"), ('quote = "better"\n', "", r"better\.quote: it is missing"),
        ('"better"', '""', r"better\.quote: "), ("{ours}", "{theirs}", r"reading\.reproduced: only \{ours\}"),
        ("{ours}", "{", r"reading\.reproduced: "), ("{ours}", "{ours.x}", "only"), ("reproduced =", "reproduct =",
            "no reading 'reproduct'"),
        ('difference = "1.00"', "difference = 1.0", r"gain\.difference: "),
        ('["71.00", "70.00"]', "[71.0, 70.0]", r"gain\.values\.0: "),
        ('["71.00", "70.00"]', '["71.00"]', "two values or none"), (', "AP.T1.resnet20.baseline"]', "]",
            "a gain is of two cells"),
        ('"AP.T1.resnet20.mixup", ', '"AP.T1.resnet20.mixap", ', "no cell 'AP.T1.resnet20.mixap'"),
        ("at_most = 1.1", "at_most = -1.1", r"cheap\.at_most: "), ("at_most = 1.1", "at_most = nan", r"cheap\.at_most: "),
        ("at_most = 1.1", 'at_most = "1.1"', r"cheap\.at_most: "), ("at_most = 1.1\n", "", "a cost is at_most so much"),
        ('kind = "same"', 'kind = "words"', "same_as belongs to the kind same"),
        ('tables = ["AP.T1"]\nhigher = ["mixup"]\nlower = ["baseline"]', 'pairs = [["AP.T1.resnet20.mixup"]]', r"pairs\.0: "),
        ('tables = ["AP.T1"]\nhigher = ["mixup"]\nlower = ["baseline"]\n', "", "it names no cell"),
        ('"AP.T1.better"]', '"AP.T1.resnet20.mixup"]', "the id of another sentence or of a cell"), ("kind = ", "kind ",
            "at line"))),
    # choices and numbers
    *(("choices.toml", old, new, says) for old, new, says in (
        ("ours = 'a'\n", "", "AP1 needs settings, or ours and others"), ("title = 'x'\nquestion = 'y?'\nevidence = 'z'\nours",
            "ours", "title: it is missing"),
        ("method.mixup.alpha", "mixup.alpha", "AP2 says 'mixup.alpha'"),
        ("['1.0', '0.2']", "['1.0', 'a b']", r"alpha\.1: a value is written as in Python"),
        ("['1.0', '0.2']", "[]", r"alpha: "), ("['1.0', '0.2']", "[1.0]", r"alpha\.0: "),
        ("'1.0'", "'__import__(\"os\")'", r"alpha\.0: "),
        ("evidence = 'z'\n[AP2", "why = 'z'\n[AP2", "AP2"))),
    *(("numbers.toml", old, new, says) for old, new, says in (
        ('["23.85", "7.13"]', '["23.85"]', r"more\.rows\.plain needs 2 numbers"),
        ('"23.85"', "23.85", r"rows\.plain\.0: a printed number is its digits"),
        ('"23.85"', '"about 23"', r"rows\.plain\.0: "), ('"23.85"', '"nan"', r"rows\.plain\.0: "),
        ('"23.85"', '"0"', r"rows\.plain\.0: "),
        ('["23.85", "7.13"]', '["", ""]', "needs 2 numbers"), ("source", "sauce", "source: it is missing"),
        ('["top-1", "top-5"]', "[]", r"more\.columns: "),
        ("[more.rows]\n", "rows = 3\n[other.rows]\n", "rows"))),
]

AUDIT = [(old, new, says) for old, new, says in (
    ("10000", "0", r"images\.cifar100: "), ("10000", '"10000"', r"images\.cifar100: "), ("cifar100 =", "cifar =",
        "There is no data set"),
    ('note = "n"\n', "", r"slips\.0\.note: it is missing"),
    ('note = "n"', 'note = "n"\nnot = "n"', r"slips\.0\.not: there is no such field"),
    ("72.34", "172.34", r"baselines\.0\.accuracy: "), ("72.34", "nan", r"baselines\.0\.accuracy: "),
    ("72.34", '"72.34"', r"baselines\.0\.accuracy: "),
    ("plain = true", 'plain = "yes"', r"baselines\.0\.plain: "), ("[[slips]]", "[slips]", "slips: "))]
