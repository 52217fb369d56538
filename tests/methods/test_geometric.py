"""Geometric regularisation against SciPy's spanning tree, least squares and plain loops; what its losses don't change with."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import batch, settings_for
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import cdist
from sklearn.manifold._locally_linear import barycenter_weights
from torch import nn

from featuremining import UsageError, build, compose, load, make, plain_step
from featuremining.methods import geometry
from featuremining.methods.geometric import Geometric, GeometricLLE, GeometricPattern, kept_statistics, places
from featuremining.models.staged import StagedNet

NAMES = ("geometric", "geometric_pattern", "geometric_lle")
FORMS = {"ratio": Geometric(), "softmax": Geometric(form="softmax", tau=0.7), "contrast": Geometric(form="contrast"),
         "nearest": GeometricPattern(), "tree": GeometricPattern(graph="tree"), "smooth": GeometricPattern(error="smooth_l1"),
         "lle": GeometricLLE()}
MEETS = [form for form in FORMS if form not in ("contrast", "lle")]      # zero where student and teacher agree


@pytest.fixture
def teacher(tmp_path_factory):
    return settings_for("geometric", tmp_path_factory)


def cloud(b=2, n=16, c=5, seed=0):
    return torch.randn(b, n, c, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------------------------------------ the geometry


def scipy_tree(d):
    """SciPy reads distance 0 as no edge; ranks, from 1, have the same tree and no zero."""
    ranks = np.zeros_like(d)
    upper = np.triu_indices(len(d), 1)
    ranks[upper] = 1 + np.argsort(np.argsort(d[upper], kind="stable"), kind="stable")
    tree = minimum_spanning_tree(ranks).toarray() > 0
    return tree | tree.T


@pytest.mark.parametrize(("n", "c"), [(2, 1), (3, 2), (16, 5), (64, 8)])
def test_the_spanning_tree_is_scipys(n, c):
    d = geometry.distances(cloud(3, n, c))
    for ours, matrix in zip(geometry.spanning_tree(d).numpy(), d.numpy(), strict=True):
        np.testing.assert_array_equal(ours, scipy_tree(matrix))


def test_equal_vectors_have_a_tree_too():
    """25 dead positions of 64: N - 1 edges, as heavy in sum as SciPy's; NAC is finite, and all of it where nothing differs."""
    x = cloud(1, 64, 8)
    x[0, ::3] = 0
    d = geometry.distances(x)
    tree = geometry.spanning_tree(d)[0].numpy()
    assert tree.sum() == 2 * 63 and not tree.diagonal().any()
    np.testing.assert_allclose((d[0].numpy() * tree).sum(), (d[0].numpy() * scipy_tree(d[0].numpy())).sum())
    assert geometry.affinity_contrast(torch.zeros(1, 4, 4), torch.ones(1, 4, 4, dtype=torch.bool)).eq(0).all()


def test_distances_and_affinity_contrast_are_a_loops():
    x = cloud(2, 9, 3)
    d = geometry.distances(x)
    tree = geometry.spanning_tree(d)
    ours = geometry.affinity_contrast(d, tree)
    for b in range(2):
        squares = cdist(x[b], x[b], "sqeuclidean")
        np.testing.assert_allclose(d[b].numpy() ** 2, squares, atol=1e-12)
        edges = scipy_tree(np.sqrt(squares))
        for i in range(9):
            near = sum(squares[i, j] for j in range(9) if edges[i, j])
            assert ours[b, i].item() == pytest.approx(near / sum(squares[i]), abs=1e-12)


def test_distances_far_from_the_origin_keep_their_digits():
    x = cloud(1, 16, 4).float()
    torch.testing.assert_close(geometry.distances(x + 1000), geometry.distances(x), rtol=0, atol=5e-4)


def test_reconstruction_weights_are_least_squares():
    """As ridge vanishes: of all weights with sum one, those with the smallest residual, found by NumPy's lstsq. With a ridge,
    those of scikit-learn's locally linear embedding."""
    x = cloud(1, 12, 7)
    near = geometry.nearest(geometry.distances(x), 4)[0]
    exact, ridged = (geometry.reconstruction_weights(x, 4, ridge)[0] for ridge in (1e-13, 1e-3))
    theirs = barycenter_weights(x[0].numpy(), x[0].numpy(), near.numpy(), reg=1e-3)
    for i, others in enumerate(near):
        a, b = x[0, others].numpy(), x[0, i].numpy()
        free = np.linalg.lstsq((a[1:] - a[0]).T, b - a[0], rcond=None)[0]           # the first has what is left of one
        np.testing.assert_allclose(exact[i, others].numpy(), [1 - free.sum(), *free], atol=1e-6)
        np.testing.assert_allclose(ridged[i, others].numpy(), theirs[i], atol=1e-12)
        assert ridged[i].sum().item() == pytest.approx(1) and (ridged[i] != 0).sum() == 4


def test_reconstruction_error_is_a_loops():
    x, w = cloud(2, 6, 3), cloud(2, 6, 6, seed=1)
    for b, found in enumerate(geometry.reconstruction_error(x, w)):
        v, m = x[b].numpy(), w[b].numpy()
        error = np.mean([np.sum((v[i] - sum(m[i, j] * v[j] for j in range(6))) ** 2) for i in range(6)])
        assert found.item() == pytest.approx(error / np.mean(np.sum((v - v.mean(0)) ** 2, 1)))


def test_nearest_are_sorted_and_ties_go_to_the_lower_position():
    d = torch.tensor([[[0.0, 2, 1, 1], [2, 0, 3, 3], [1, 3, 0, 0], [1, 3, 0, 0]]])
    assert geometry.nearest(d, 2).tolist() == [[[2, 3], [0, 2], [3, 0], [2, 0]]]
    assert geometry.nearest(d, 9).shape == (1, 4, 3)


@pytest.mark.parametrize("size", [(4, 4), (3, 5), (8, 8)])
def test_maps_are_averaged_to_the_coarser_grid(size):
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    expected = F.adaptive_avg_pool2d(x, size).flatten(2).transpose(1, 2)
    torch.testing.assert_close(geometry.local_features(x, size), expected)
    torch.testing.assert_close(geometry.local_features(x, size, torch.tensor([3, 0])), expected[:, [3, 0]])


@pytest.mark.parametrize(("p", "n"), [(64, 64), (64, 65), (64, 256), (5, 784)])
def test_places_are_distinct_spread_and_equally_likely(p, n):
    count = torch.zeros(n)
    for seed in range(400):
        u = torch.rand(p + 1, generator=torch.Generator().manual_seed(seed))
        found = places(u, n)
        assert found.unique().numel() == p and found.min() >= 0 and found.max() < n
        count[found] += 1
    expected = 400 * p / n
    assert (count - expected).abs().max() < 5 * expected**0.5 + 1e-9
    assert places(torch.full((p + 1,), 1 - 2**-24), n).unique().numel() == p


# ------------------------------------------------------------------------------------------------ the losses


@pytest.mark.parametrize("form", FORMS)
def test_the_written_out_loss(form):
    """Against loops in NumPy."""
    s, t = cloud(2, 10, 3), cloud(2, 10, 6, seed=1)
    totals = []
    for b in range(2):
        ds, dt = cdist(s[b], s[b]), cdist(t[b], t[b])
        tree, off = scipy_tree(dt), ~np.eye(10, dtype=bool)
        ms, mt = ds / ds[off].mean(), dt / dt[off].mean()
        if form == "ratio":
            nac = [(d**2 * tree).sum(1) / (d**2).sum(1) for d in (ds, dt)]
            totals.append(np.mean((nac[0] - nac[1]) ** 2))
        elif form in ("softmax", "contrast"):
            tau = 0.7 if form == "softmax" else 1.0
            q, p = ((e := np.exp(-m / tau) * off) / e.sum(1, keepdims=True) for m in (ms, mt))
            totals.append((p[off] * np.log(p[off] / q[off])).sum() / 10 if form == "softmax"
                          else -np.log((q * tree).sum(1)).mean())
        elif form == "lle":
            w = geometry.reconstruction_weights(t[b:b + 1], 5, 1e-3)[0].numpy()
            v = s[b].numpy()
            totals.append(((v - w @ v) ** 2).sum(1).mean() / ((v - v.mean(0)) ** 2).sum(1).mean())
        else:
            edges = set()
            for i in range(10):
                for d in (ds, dt):
                    edges |= {(min(i, j), max(i, j)) for j in sorted(set(range(10)) - {i}, key=lambda j: d[i, j])[:5]}
            if form == "tree":
                edges = {(i, j) for i in range(10) for j in range(i) if tree[i, j]}
            gaps = np.array([ms[e] - mt[e] for e in edges])
            totals.append(np.mean(np.where(abs(gaps) < 1, gaps**2 / 2, abs(gaps) - 0.5) if form == "smooth" else gaps**2))
    assert FORMS[form].compare(s, t).item() == pytest.approx(np.mean(totals), rel=1e-9)


@pytest.mark.parametrize("form", FORMS)
def test_what_a_loss_does_not_change_with(form):
    """Scale, shift and rotation of either map's vectors, more channels, one order of the positions for both. It does change
    when the positions of the student alone are shuffled."""
    compare, s, t = FORMS[form].compare, cloud(), cloud(c=7, seed=1)
    value = compare(s, t)
    turn, order = torch.linalg.qr(cloud(1, 5, 5, seed=2)[0])[0], torch.randperm(16, generator=torch.Generator().manual_seed(3))
    for same in (compare(3.5 * s @ turn + 2, t), compare(s, 0.1 * t - 1), compare(F.pad(s, (0, 4)), t),
                 compare(s[:, order], t[:, order])):
        torch.testing.assert_close(same, value, rtol=1e-8, atol=1e-10)
    assert not torch.isclose(compare(s[:, order], t), value, rtol=1e-3)


@pytest.mark.parametrize("form", MEETS)
def test_a_student_of_its_teachers_shape_pays_nothing(form):
    """t = a s R + b, in more or in fewer channels."""
    compare, s = FORMS[form].compare, cloud()
    turn = torch.linalg.qr(cloud(1, 9, 9, seed=2)[0])[0][:5]
    for student, teacher in ((s, 2 * s @ turn + 1), (2 * s @ turn + 1, s)):
        assert 0 <= compare(student, teacher).item() + 1e-15 < 1e-12


def test_the_student_is_rebuilt_as_well_as_the_teacher():
    s, lle = cloud(), GeometricLLE()
    own = geometry.reconstruction_error(s, geometry.reconstruction_weights(s, 5, 1e-3)).mean()
    torch.testing.assert_close(lle.compare(3 * s + 1, s), own)
    flat = torch.cat([s[:, :, :2], torch.zeros(2, 16, 3)], 2)            # a plane: three neighbours rebuild every vector
    assert GeometricLLE(ridge=1e-12).compare(flat, flat) < 1e-9


def test_all_neighbours_are_full_distance_matching():
    """RKD's distance loss, squared."""
    s, t = cloud(), cloud(seed=1)
    ds, dt = (torch.cdist(x, x) for x in (s, t))
    off = ~torch.eye(16, dtype=torch.bool)
    gaps = [d[:, off] / d[:, off].mean(1, keepdim=True) for d in (ds, dt)]
    torch.testing.assert_close(GeometricPattern(neighbours=15).compare(s, t), (gaps[0] - gaps[1]).square().mean())


@pytest.mark.parametrize("form", FORMS)
def test_gradients(form):
    """By finite differences; finite beside equal vectors and where all are equal; none reaches the teacher."""
    compare, s, t = FORMS[form].compare, cloud(1, 6, 3).requires_grad_(), cloud(1, 6, 4, seed=1)
    assert torch.autograd.gradcheck(lambda x: compare(x, t), s)
    dead = cloud(1, 6, 3)
    dead[0, 2:4] = 0
    for x in (dead, torch.zeros(1, 6, 3, dtype=torch.float64), dead.float()):
        x.requires_grad_()
        value = compare(x, t.to(x.dtype))
        value.backward()
        assert value.isfinite() and x.grad.isfinite().all()
    assert not compare(s.detach(), t).requires_grad


# ------------------------------------------------------------------------------------------------ the method


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_stages_weights_and_the_teachers_view(name, memory, teacher):
    """One loss per stage with a weight, weighted, of the images that the student saw."""
    torch.manual_seed(0)
    net = build("resnet20", 10).to(memory_format=memory)
    method = make(name, **teacher, betas=(2.0, 0.0, 3.0), positions=2000).prepare(net)
    out = compose([method, make("mixup")])(net, batch())
    assert list(out.losses) == ["ce", f"{name}.stage1", f"{name}.stage3"]
    theirs = method.taught(out.batch.x).maps
    for stage, beta in ((0, 2.0), (2, 3.0)):
        s, t = (m[stage].flatten(2).transpose(1, 2) for m in (out.trace.maps, theirs))
        torch.testing.assert_close(out.losses[f"{name}.stage{stage + 1}"], beta * method.compare(s, t))


@pytest.mark.parametrize("name", NAMES)
def test_a_teacher_of_another_shape(name, tmp_path):
    """Fewer stages, other widths, and maps that don't divide the student's."""
    other = "preresnet20"
    net = build("timm/resnet18", 10)
    torch.save(build(other, 10).state_dict(), tmp_path / "t.pt")
    method = make(name, teacher=other, weights=str(tmp_path / "t.pt"), betas=(1.0, 1.0)).prepare(net)
    out = method.step(plain_step, net, batch(4, size=72))       # student 9 and 5 (3) at a side, teacher 36 and 18
    assert list(out.losses) == ["ce", f"{name}.stage3", f"{name}.stage4"]
    sum(out.losses.values()).backward()
    assert all(v.isfinite() for v in out.losses.values()) and net.head.weight.grad.isfinite().all()


INSERTS = [[], [{"layer": "low_rank", "after": "stage3"}], [{"layer": "low_rank", "after": "stage3", "update_every": 2}]]


@pytest.mark.parametrize("insert", INSERTS, ids=lambda insert: f"low_rank{len(insert[0])}" if insert else "plain")
@pytest.mark.parametrize("name", NAMES)
def test_external_images(name, teacher, insert):
    """Other images beside the batch, without labels, seen by both; what layers keep of batches stays that of the batch."""
    torch.manual_seed(0)
    options = {"insert": insert} if insert else {}
    net = build("resnet20", 10, **options)
    method = make(name, **teacher, external="parts", external_batch=4).prepare(net)
    lone = build("resnet20", 10, **options)
    lone.load_state_dict(net.state_dict())
    lone(batch().x)
    momentum = net.stem[0][1].momentum
    with pytest.raises(RuntimeError, match="inside"), kept_statistics(net):
        raise RuntimeError("inside")
    assert net.stem[0][1].momentum == momentum == 0.1
    out = method.step(plain_step, net, batch())
    stages = [key.split(".")[-1] for key in out.losses if key.startswith(f"{name}.stage")]
    assert [key for key in out.losses if ".external." in key] == [f"{name}.external.{stage}" for stage in stages]
    for (key, a), b in zip(net.state_dict().items(), lone.state_dict().values(), strict=True):
        assert torch.equal(a, b) or key.endswith("num_batches_tracked"), key
    grads = torch.autograd.grad(out.losses[f"{name}.external.{stages[-1]}"], net.stem[0][0].weight)
    assert grads[0].any() and net.stem[0][1].momentum == 0.1
    drawn = method.draw(3, 6, [(32, 32)])
    index = drawn[f"{name}.external"]
    assert index.shape == (3, 4) and index.max() < len(load("parts").train_x) and drawn[f"{name}.places"].shape == (3, 65)
    x = method.seen(index[0], batch(size=48).x)
    data = load("parts")
    expected = (data.train_x[index[0]].permute(0, 3, 1, 2) / 255 - torch.tensor(data.mean)[:, None, None]) / torch.tensor(
        data.std)[:, None, None]
    torch.testing.assert_close(x, F.interpolate(expected, (48, 48), mode="bilinear", align_corners=False), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_with_kd_and_half_precision_in_one_graph(name, teacher):
    torch.manual_seed(0)
    net = build("resnet20", 10, depth=8)
    step = compose([make(n, **teacher, **more).prepare(net) for n, more in ((name, {"positions": 8}), ("kd", {}))])
    drawn = {f"{name}.places": torch.rand(9)}
    total = lambda data: sum(step(net, data._replace(drawn=drawn)).losses.values())  # noqa: E731
    compiled = torch.compile(total, fullgraph=True, dynamic=False, backend="eager")(batch())
    torch.testing.assert_close(compiled, total(batch()))
    with torch.autocast("cpu", torch.bfloat16):
        losses = step(net, batch()).losses
    assert all(value.dtype == torch.float32 and value.isfinite() for value in losses.values())


@pytest.mark.parametrize(("name", "settings", "says"), [
    ("geometric", {"betas": ()}, "betas are 0 or more"), ("geometric", {"betas": (-1.0,)}, "betas are 0 or more"),
    ("geometric", {"positions": 1}, "positions and external_batch 2 or more"),
    ("geometric", {"tau": 0.0}, "tau must be positive"),
    ("geometric", {"tau": 2.0}, "needs form 'softmax'"), ("geometric", {"form": "exp"}, "exp"),
    ("geometric_pattern", {"neighbours": 0}, "1 or more"), ("geometric_pattern", {"graph": "tree", "neighbours": 3}, "nearest"),
    ("geometric_lle", {"ridge": 0.0}, "ridge positive"), ("geometric_lle", {"external_batch": 8}, "it needs external")])
def test_bad_settings_are_one_sentence(name, settings, says):
    with pytest.raises(UsageError, match=says):
        make(name, **settings)


def test_what_does_not_fit_is_one_sentence(teacher):
    with pytest.raises(UsageError, match="weighs 3 stages, but the student has 2 and the teacher 3"):
        make("geometric", **teacher).prepare(
            StagedNet(nn.Identity(), [nn.Conv2d(3, 4, 3), nn.Conv2d(4, 8, 3)], (4, 8), 10))
    with pytest.raises(UsageError, match="held in memory; parts_cub is read from files"):
        make("geometric", **teacher, external="parts_cub").prepare(build("resnet20", 10))
    net = build("resnet20", 10)
    method = make("geometric", **teacher, betas=(1.0,)).prepare(net)
    with pytest.raises(UsageError, match="map of one position"):
        method.step(plain_step, net, batch(size=4))
