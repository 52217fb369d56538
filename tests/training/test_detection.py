"""Detectors: torchvision's RetinaNet, the pre-trained backbone, resuming, images in memory and in files, the figure."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from helpers import die_after_one_epoch
from made_records import example
from torch import nn
from torchvision.models import resnet50
from torchvision.models.detection import retinanet_resnet50_fpn
from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
from torchvision.ops import FrozenBatchNorm2d
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from featuremining import FMError, UsageError, build, paths, records, studies
from featuremining.datasets import parts, voc
from featuremining.datasets.mean_precision import Found, mean_precision
from featuremining.datasets.scenes import Objects, SceneLoader, parts_scenes, scene
from featuremining.measuring import detections
from featuremining.models.retinanet import DETECTORS, Detector, detector, retinanet
from featuremining.recipes import recipe
from featuremining.records import findings
from featuremining.records.findings import Finding
from featuremining.showing.figures import detections as FD
from featuremining.studies import Run
from featuremining.training import detection, engine, loop, pretraining
from featuremining.training.classification import parameters
from featuremining.training.replicas import Replicas
from featuremining.training.run import Training

CPU = torch.device("cpu")
NONE = Found(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0))
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def weights_of(seed=5, classes=9):
    """A network's state as if it had been trained: statistics that are not the initial ones."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = build("resnet20", classes).train()
        with torch.no_grad():
            net(torch.randn(8, 3, 32, 32))
    return net.state_dict()


def made_up(run, device="auto"):
    """A pre-training that costs nothing."""
    state = weights_of()
    return records.Record(1, "parts.resnet20.baseline.0.seed0", "parts.resnet20.baseline.0", 0, {}, {"methods": []}, {}, {},
                          loop.digest(state), {}), state


@pytest.fixture
def few(scratch, monkeypatch):
    data = parts_scenes(64, 20)
    monkeypatch.setattr(detection, "scenes", lambda run: data)
    monkeypatch.setattr(detection, "pretrained", made_up)
    return data


def run(epochs=3, seed=0, options=None, **changes):
    small = replace(recipe("resnet20", "smoke"), **{"epochs": epochs, "batch": 32, "lr": 0.01, **changes})
    return Run("parts", "resnet20", (), small, "smoke", seed, options or {}, task="detection")


def start(seed=0, **options):
    engine.deterministic()
    before, weights = made_up(None)
    task = partial(detection.DetectionTask, before=before, weights=weights)
    return Training(run(seed=seed, options=options), CPU, "eager", data=detection.scenes(None), task=task)


# The network


def pair(settings=Detector(norm="batch", frozen_stages=0, size=64, longest=96)):    # noqa: B008
    """Ours and torchvision's, of the same state."""
    theirs = retinanet_resnet50_fpn(weights=None, weights_backbone=None, num_classes=21, min_size=64, max_size=96)
    ours = retinanet(build("resnet50", 1000), settings, 20, *IMAGENET)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs


def test_resnet50_is_torchvisions_retinanet():
    """The same parameters by name, the same losses in training, the same detections, for images of two sizes."""
    torch.manual_seed(0)
    ours, theirs = pair()
    assert parameters(ours) == parameters(theirs) == 32_615_969
    images = [torch.rand(3, 60, 80), torch.rand(3, 64, 48)]
    targets = [{"boxes": torch.tensor([[4.0, 5.0, 40.0, 44.0]]), "labels": torch.tensor([3])},
               {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long)}]
    losses = [{name: loss.item() for name, loss in model.train()(images, targets).items()} for model in (ours, theirs)]
    assert losses[0] == losses[1]
    for model in (ours, theirs):
        model.score_thresh = 0.0                    # an untrained network is sure of nothing
    with torch.no_grad():
        found = [model.eval()(images) for model in (ours, theirs)]
    for a, b in zip(*found, strict=True):
        assert all(torch.equal(a[name], b[name]) for name in ("boxes", "labels", "scores")) and len(a["boxes"]) == 300


def test_what_is_trained_is_what_torchvision_trains_of_a_pretrained_backbone():
    frozen = _resnet_fpn_extractor(resnet50(norm_layer=FrozenBatchNorm2d), 3, [2, 3, 4], LastLevelP6P7(256, 256))
    wanted = {name for name, p in frozen.named_parameters() if p.requires_grad}
    ours = retinanet(build("resnet50", 10), Detector(), 20, *IMAGENET)
    assert {name for name, p in ours.backbone.named_parameters() if p.requires_grad} == wanted
    assert not any(isinstance(m, nn.BatchNorm2d) for m in ours.modules())


@pytest.mark.parametrize("network", ["resnet20", "resnet50"])
def test_the_backbone_is_the_pretrained_network(network):
    """Its maps are the classifier's, in training mode as well; only the last stages reach the pyramid."""
    torch.manual_seed(1)
    net = build(network, 9)
    net.train()(torch.randn(8, 3, 64, 64))          # other statistics than the initial ones
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        maps = net.eval().maps(x)
        model = retinanet(net, replace(DETECTORS[network, "parts"], norm="frozen"), 9, *IMAGENET).train()
        seen = list(model.backbone.body(x).values())
    assert len(seen) == len(maps) - 1
    for a, b in zip(seen, maps[1:], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_frozen_means_unchanged(few):
    """Statistics, stem and first stage stay as they came; everything else moves."""
    training = start()
    before = {name: t.clone() for name, t in training.model.state_dict().items()}
    training.model.train()
    for inputs, _ in zip(training.inputs(), range(2), strict=False):
        training.advance(inputs)
    same = {name for name, t in training.model.state_dict().items() if torch.equal(t, before[name])}
    body = {name for name in before if name.startswith("backbone.body.")}
    first = {name for name in body if name.startswith(("backbone.body.stem", "backbone.body.stage1"))}
    norms = {name for name in body if any(name.startswith(f"{m}.") for m, module in training.model.named_modules()
                                          if isinstance(module, FrozenBatchNorm2d))}
    assert first and norms - first and same == first | norms


def test_batch_statistics_and_all_stages_can_be_trained(few):
    training = start(norm="batch", frozen_stages=0)
    assert all(p.requires_grad for p in training.model.parameters())
    mean = training.model.backbone.body.stem[0][1].running_mean.clone()
    training.model.train()
    training.advance(next(training.inputs()))
    assert not torch.equal(training.model.backbone.body.stem[0][1].running_mean, mean)
    assert training.resolved()["detector"]["norm"] == "batch"


def test_settings_that_are_not_known():
    with pytest.raises(UsageError, match="norm = 'group'"):
        Detector(norm="group")
    with pytest.raises(UsageError, match="no detector"):
        detector("resnet56", "voc")


# Its images


def test_mirroring_takes_the_box_along():
    """The pixels in the mirrored box are the mirrored pixels of the box."""
    drawn = parts.draw(20, seed=3)
    for image, box in zip(drawn.images, drawn.boxes, strict=True):
        objects = Objects(box[None].astype(np.float32), np.zeros(1, np.int64), np.zeros(1, bool))
        pixels = torch.from_numpy(image).permute(2, 0, 1)
        (a, (plain,), _), (b, (turned,), _) = (scene(pixels, objects, mirror, False) for mirror in (False, True))
        cut = [x[:, int(y0):int(y1), int(x0):int(x1)] for x, (x0, y0, x1, y1) in ((a, plain), (b, turned))]
        assert torch.equal(cut[0], cut[1].flip(-1)) and torch.equal(a, pixels / 255)
        assert plain.tolist() == box.tolist()


def test_an_epoch_shows_every_image_once_half_of_them_mirrored():
    data = parts_scenes(200, 9)
    loaders = [SceneLoader(data, CPU, seed, recipe("resnet20", "smoke")) for seed in (0, 0, 1)]
    loaders.append(loaders[0])                      # its second epoch
    shown = [[one.image for batch in loader.batches() for one in batch] for loader in loaders]
    originals = {x.numpy().tobytes(): i for i, x in enumerate(data.train_x.permute(0, 3, 1, 2).contiguous() / 255)}
    whole = [originals.get(x.contiguous().numpy().tobytes()) for x in shown[0]]
    back = [originals.get(x.flip(-1).contiguous().numpy().tobytes()) for x in shown[0]]
    assert sorted(i if i is not None else j for i, j in zip(whole, back, strict=True)) == list(range(200))
    assert 70 < sum(i is None for i in whole) < 130
    assert all(torch.equal(a, b) for a, b in zip(shown[0], shown[1], strict=True))
    assert not any(all(torch.equal(a, b) for a, b in zip(shown[0], other, strict=True)) for other in shown[2:])


def test_the_images_are_those_of_the_classification():
    from featuremining import load

    data, plain = parts_scenes(), load("parts")
    assert torch.equal(data.train_x, plain.train_x) and torch.equal(data.test_x, plain.test_x) and data.classes == plain.classes
    assert [int(y.labels[0]) for y in data.test_y] == plain.test_y.tolist()
    assert len({parts_scenes(8, 4).digest(), parts_scenes(8, 5).digest(), parts_scenes(9, 4).digest()}) == 3


def test_only_voc_and_parts_have_boxes():
    with pytest.raises(UsageError, match="no boxes"):
        detection.scenes(replace(run(), dataset="parts_tiny_imagenet"))


# The loop


def test_a_resumed_training_equals_an_uninterrupted_one(few, monkeypatch):
    (whole,) = detection.train_all([run()], "cpu")
    paths.record("smoke", whole.key, 0).unlink()
    die_after_one_epoch(lambda one, device: detection.train_all([one], device), run(), monkeypatch)
    assert not paths.record("smoke", whole.key, 0).exists()
    (resumed,) = detection.train_all([run()], "cpu")
    assert resumed.provenance["resumed"] == 1 and whole.provenance["resumed"] == 0
    assert resumed.curves == whole.curves and resumed.weights == whole.weights and resumed.metrics == whole.metrics
    left = paths.checkpoint("smoke", whole.key, 0)
    assert not left.exists()
    left.touch()                                # as by a kill between the record and the end
    assert detection.train_all([run()], "cpu") == [resumed] and not left.exists()


def test_other_weights_are_not_the_same_training(few, monkeypatch):
    """A checkpoint that began from other pre-trained weights is refused."""
    die_after_one_epoch(lambda one, device: detection.train_all([one], device), run(), monkeypatch)
    other = weights_of(6)
    monkeypatch.setattr(detection, "pretrained", lambda *_: (replace(made_up(None)[0], weights=loop.digest(other)), other))
    with pytest.raises(FMError, match="other settings"):
        detection.train_all([run()], "cpu")


def test_the_record(few, monkeypatch):
    """Both rules of precision, losses by name, where the backbone came from; what is recorded is not trained again."""
    (record,) = detection.train_all([run(epochs=1)], "cpu")
    assert record.curves.keys() == {"lr", "loss", "classification", "regression", "test_map", "test_map.area"}
    assert record.metrics.keys() == {"best", "best_epoch", "last", "median10", "n_test", "others"}
    assert record.metrics["last"] == record.curves["test_map"][-1] and record.metrics["n_test"] == 20
    assert record.metrics["others"]["area"]["last"] == record.curves["test_map.area"][-1]
    source = {"run": "parts.resnet20.baseline.0.seed0", "weights": loop.digest(weights_of())}
    assert record.provenance["pretrained"] == source == record.resolved["pretrained"]
    assert record.spec["task"] == "detection" and record.provenance["data_sha256"] == few.digest()
    assert record.resolved["parameters"] == sum(p.numel() for p in start().model.parameters() if p.requires_grad)
    monkeypatch.setattr(detection, "Training", None)
    assert detection.train_all([run(epochs=1)], "cpu") == [record]
    monkeypatch.setitem(DETECTORS, ("resnet20", "parts"), replace(DETECTORS["resnet20", "parts"], width=64))
    with pytest.raises(FMError, match="width was 32 and is 64 now"):
        detection.train_all([run(epochs=1)], "cpu")


def test_the_other_metric_can_be_the_compared_one(few):
    a, b = (detection.train_all([run(epochs=1, options=o)], "cpu")[0] for o in ({}, {"metric": "area"}))
    assert a.key != b.key and a.weights == b.weights
    assert a.curves["test_map.area"] == b.curves["test_map"] and a.curves["test_map"] == b.curves["test_map.11point"]


def test_the_kept_weights_are_the_detector(few):
    """They load into a fresh detector, which finds what was recorded."""
    (record,) = detection.train_all([run(epochs=1)], "cpu")
    model, data = detections.load_detector(run(epochs=1))
    values = mean_precision(detection.detect(model, data.test_x, CPU), data.test_y, 9)
    assert loop.digest(model.state_dict()) == record.weights and values["11point"] == record.metrics["last"]
    with pytest.raises(FMError, match="no weights"):
        detections.load_detector(run(epochs=2))


def test_seeds_differ_and_repeat(few):
    (first,), (other,) = (detection.train_all([run(epochs=1, seed=seed)], "cpu") for seed in (0, 1))
    paths.record("smoke", first.key, 0).unlink()
    assert detection.train_all([run(epochs=1)], "cpu")[0].weights == first.weights != other.weights


def test_the_rate_warms_up_and_falls(few):
    training = start(warmup=3)
    assert [round(training.task.rate(0, i), 6) for i in range(2)] == [round(0.01 / 3, 6), round(0.01 * 5 / 9, 6)]
    assert training.task.rate(1, 1) == 0.01 and training.task.rate(2, 0) == 0.001        # 2 steps an epoch, down after 2/3
    assert start(warmup=0).task.rate(0, 0) == 0.01
    training.model.train()
    for i, inputs in enumerate(training.inputs()):
        training.advance(inputs)
        assert training.optimizer.lr.item() == pytest.approx(training.task.rate(0, i))


def test_it_learns_to_find(few, monkeypatch):
    """Four images by heart: every box and class."""
    x, y = few.train_x[:4], few.train_y[:4]
    four = few._replace(train_x=x.repeat(20, 1, 1, 1), train_y=y * 20, test_x=x, test_y=y)
    monkeypatch.setattr(detection, "scenes", lambda _: four)
    free = {"norm": "batch", "frozen_stages": 0}
    (record,) = detection.train_all([run(6, options=free, batch=4, flip=False, lr=0.005)], "cpu")   # 0.01 hangs on rounding
    assert record.metrics["last"] > 90 and record.curves["loss"][-1] < record.curves["loss"][0] / 4


def test_divergence_is_said_and_nothing_is_recorded(few):
    with pytest.raises(FMError, match=r"diverged in epoch 1"):
        detection.train_all([run(lr=1e30)], "cpu")
    assert not list(paths.runs().rglob("*.json"))


def test_what_a_detector_cannot_be_trained_with(few, monkeypatch):
    with pytest.raises(UsageError, match="op by op"):
        detection.train_all([run()], "cpu", "compile")
    with pytest.raises(UsageError, match="engine 'warp'"):
        detection.train_all([run()], "cpu", "warp")
    monkeypatch.setattr("featuremining.training.run.join", lambda: Replicas(0, 2))
    with pytest.raises(UsageError, match="without torchrun"):
        detection.train_all([run()], "cpu")


def test_images_in_files_of_many_sizes(voc_folder, scratch, monkeypatch):
    """Two steps and a test on the generated VOC folder."""
    monkeypatch.setitem(DETECTORS, ("resnet20", "voc"), replace(DETECTORS["resnet20", "parts"], size=48, longest=96))
    monkeypatch.setattr(detection, "pretrained", made_up)
    one = replace(run(epochs=1), dataset="voc")
    (record,) = detection.train_all([one], "cpu")
    assert len(record.curves["loss"]) == 1 and record.metrics["n_test"] == 4
    model, data = detections.load_detector(one)
    model.score_thresh = 0.0                        # after one step it is sure of nothing
    found = detection.detect(model, data.test_x, CPU)
    sizes = [x.shape for batch in detection.pictures(data.test_x, [range(4)]) for x in batch]
    assert len({s[1:] for s in sizes}) > 1
    for out, (_, height, width) in zip(found, sizes, strict=True):              # boxes are in px of the original image
        assert len(out.boxes) == 300 and out.boxes.min() >= 0
        assert out.boxes[:, 2].max() <= width and out.boxes[:, 3].max() <= height


# The pre-training


@pytest.mark.parametrize(("cell", "source"), [
    ("T7.resnet50.baseline", "T5.resnet50.baseline"), ("T7.resnet50.fm2", "T5.resnet50.fm2"),
    ("T7s.resnet20.baseline", "F2s.resnet20.baseline"), ("T7s.resnet20.fm2", "F2s.resnet20.fm2")])
def test_the_pretraining_is_another_cells_training(cell, source):
    for tier in ("smoke", "short", "full"):
        wanted = studies.cell(cell).run(tier, 3)
        assert pretraining.pretraining(wanted) == studies.cell(source).run(tier, 3) and wanted.task == "detection"
        assert detector(wanted.network, wanted.dataset)
    assert studies.cell(cell).run("full", 0).recipe.epochs == (12 if cell.startswith("T7.") else 30)


def test_the_schedule_falls_where_the_original_does():
    """After 60,000 and 80,000 of 90,000 iterations, so after 8 and 11 of 12 epochs."""
    r = studies.cell("T7.resnet50.fm2").run("full", 0).recipe
    assert [r.rate(e) for e in (7, 8, 10, 11)] == [0.01, 0.001, 0.001, 0.0001] and r.batch == 16 and r.weight_decay == 1e-4


def test_a_pretraining_that_no_cell_lists():
    with pytest.raises(UsageError, match="table F2s has no cell"):
        pretraining.source(replace(run(), methods=({"name": "cutmix"},)))
    with pytest.raises(UsageError, match="pre-trained network 'resnet56'"):
        pretraining.source(replace(run(), network="resnet56"))


def test_weights_for_voc_are_asked_for(scratch):
    with pytest.raises(FMError, match=r"`fm run T5\.resnet50\.fm2 --tier full --seed 1`") as caught:
        detection.train_all([studies.cell("T7.resnet50.fm2").run("full", 1)], "cpu")
    assert "\n" not in str(caught.value)


def test_weights_on_embedded_data_are_trained_and_checked(scratch, monkeypatch):
    """Missing: trained. Missing though on record, or not the recorded ones: said."""
    wanted = studies.cell("T7s.resnet20.baseline").run("smoke", 0)
    before = pretraining.pretraining(wanted)
    path, asked = paths.weights(before.tier, before.key, 0), []

    def trained(one, device):
        asked.append(one)
        made = example(spec=one.spec(), weights=loop.digest(weights_of()))
        loop.weights.write(path, weights_of())
        records.write(made, paths.record("smoke", one.key, 0))
        return made

    monkeypatch.setattr(loop, "train", trained)
    record, state = pretraining.pretrained(wanted, "cpu")
    assert loop.digest(state) == record.weights and asked == [before]
    assert pretraining.pretrained(wanted, "cpu")[0].weights == record.weights and len(asked) == 1
    loop.weights.write(path, weights_of(6))
    with pytest.raises(FMError, match="are not the weights"):
        pretraining.pretrained(wanted, "cpu")
    path.unlink()
    with pytest.raises(FMError, match="There are no weights of"):
        pretraining.pretrained(wanted, "cpu")


def test_a_detector_starts_from_the_weights(few):
    training, state = start(), weights_of()
    ours = training.model.state_dict()
    for name, other in (("stage3.2.residual.0.0.weight", "stages.2.2.residual.0.0.weight"), ("stem.0.1.running_var",) * 2):
        assert torch.equal(ours[f"backbone.body.{name}"], state[other])
    again = start()
    assert loop.digest(again.model.state_dict()) == loop.digest(ours)
    assert not torch.equal(start(seed=1).model.head.state_dict()["regression_head.bbox_reg.weight"],
                           ours["head.regression_head.bbox_reg.weight"])


# The figure


def test_what_is_shown_is_kept_and_drawn(few, capsys):
    cell, one = studies.cell("T7s.resnet20.baseline"), run(epochs=1)
    detections.look(cell, one)
    assert "no weights" in capsys.readouterr().out
    detection.train_all([one], "cpu")
    detections.look(cell, one)
    (kept,) = findings.read("detections", one)
    assert len(kept.values["images"]) == detections.SHOWN and all(len(i["scores"]) <= 3 for i in kept.values["images"])
    model, data = detections.load_detector(one)
    (first,) = detection.detect(model, data.test_x[:1], CPU)
    assert kept.values["images"][0]["scores"] == [round(float(s), 4) for s in sorted(first.scores)[::-1][:3]]
    html = FD.detections([(cell, kept)], "smoke")
    assert html.count("<image") == 2 * detections.SHOWN and 'role="img"' in html and "Baseline, image 1" in html
    detections.look(cell, one)
    assert "measured" in capsys.readouterr().out


def test_right_and_wrong_are_told_apart():
    truth, black = [Objects(np.array([[2, 2, 12, 12]]), np.array([0]), np.zeros(1, bool))], np.zeros((20, 30, 3), np.uint8)
    rows = [("right: a 0.90", (2, 2, 12, 11), 0), ("wrong: b 0.90", (2, 2, 12, 12), 1), ("wrong: a 0.90", (9, 9, 19, 19), 0)]
    for says, box, label in rows:
        out = {"A": [Found(np.array([box]), np.array([label]), np.array([0.9]))]}
        html = FD.grid([black], truth, out, "ab", "smoke")
        assert says in html and (FD.RIGHT in html, "stroke-dasharray" in html) == (says[0] == "r", says[0] == "w")
    assert "A &amp; B, image 1: nothing found" in FD.grid([black], truth, {"A & B": [NONE]}, "ab", "smoke")


def test_photos_stay_small():
    noise = np.random.default_rng(0).integers(0, 256, (375, 500, 3)).astype(np.uint8)
    assert len(FD.grid([noise] * 5, [Objects(*NONE)] * 5, {"A": [NONE] * 5, "B": [NONE] * 5}, (), "full")) < 300 * 1024


def test_without_findings_or_images_there_is_nothing_to_draw(voc_folder, monkeypatch, tmp_path):
    cell = studies.cell("T7.resnet50.baseline")
    one = {"boxes": [[1, 2, 30, 40]], "labels": [11], "scores": [0.5]}
    kept = Finding(1, "detections", "seed0", "voc.resnet50.baseline.0", "full", {"images": [one] * 4}, {})
    assert "nothing to draw" in FD.detections([], "full")
    assert "dog" in FD.detections([(cell, kept)], "full")
    monkeypatch.setenv("FM_DATA_DIR", str(tmp_path / "elsewhere"))
    assert not voc.where()[0] and "nothing to draw" in FD.detections([(cell, kept)], "full")
