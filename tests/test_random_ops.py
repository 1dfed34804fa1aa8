"""Random ops: known answers of Philox, laws of the distributions, independence of threads."""

from __future__ import annotations

import math

import pytest

import ascendlite as al

N = 200_000
# name: (draw, mean, variance, fourth standardised moment)
LAWS = {
    "rand": (lambda g, d: al.rand(N, generator=g, dtype=d), 0.5, 1 / 12, 1.8),
    "randn": (lambda g, d: al.randn(N, generator=g, dtype=d), 0.0, 1.0, 3.0),
    "uniform_": (lambda g, d: al.empty(N, dtype=d).uniform_(-1, 3, generator=g), 1.0, 16 / 12, 1.8),
    "normal_": (lambda g, d: al.empty(N, dtype=d).normal_(2, 0.5, generator=g), 2.0, 0.25, 3.0),
    "exponential_": (lambda g, d: al.empty(N, dtype=d).exponential_(2, generator=g), 0.5, 0.25, 9.0),
    "bernoulli_": (lambda g, d: al.empty(N, dtype=d).bernoulli_(0.5, generator=g), 0.5, 0.25, 1.0),
    "randint": (lambda g, d: al.randint(-3, 4, (N,), generator=g, dtype=d), 0.0, 4.0, 1.75),
}


def generator(seed: int = 0) -> al.Generator:
    return al.Generator().manual_seed(seed)


def test_philox_gives_the_words_that_its_authors_published():
    # Salmon et al., Random123 kat_vectors: philox4x32 10 with counter 0 and key 0 begins with 6627e8d5.
    drawn = al.rand(1, generator=generator(0)).item()
    assert drawn == (0x6627E8D5 >> 8) * 2**-24


@pytest.mark.parametrize("dtype", (al.float32, al.float64), ids=str)
@pytest.mark.parametrize("name", LAWS)
def test_moments_are_those_of_the_distribution(name, dtype):
    draw, mean, variance, kurtosis = LAWS[name]
    x = draw(generator(1), dtype).double()
    apart = x - x.mean()
    spread = math.sqrt(variance / N)
    assert abs(x.mean().item() - mean) < 5 * spread
    assert abs((apart**2).mean().item() / variance - 1) < 5 * math.sqrt((kurtosis - 1) / N) + 1e-5
    assert (apart**4).mean().item() / variance**2 == pytest.approx(kurtosis, rel=0.1)


@pytest.mark.parametrize("dtype", (al.float16, al.bfloat16, al.float32, al.float64), ids=str)
def test_uniform_numbers_never_reach_the_upper_bound(dtype):
    x = al.rand(N, generator=generator(2), dtype=dtype)
    assert x.min().item() >= 0
    assert x.max().item() < 1


def test_normal_numbers_follow_the_normal_distribution_function():
    x = al.randn(N, generator=generator(3)).sort().values.double()
    for share in (0.001, 0.05, 0.3, 0.5, 0.8, 0.99):
        at = x[int(share * N)].item()
        expected = 0.5 * (1 + math.erf(at / math.sqrt(2)))
        assert abs(share - expected) < 5 * math.sqrt(share * (1 - share) / N)


def test_neighbours_are_not_correlated():
    x = al.randn(N, generator=generator(4)).double()
    for lag in (1, 16, 32, 64):
        assert abs((x[lag:] * x[:-lag]).mean().item()) < 5 / math.sqrt(N)


@pytest.mark.parametrize("draw", (
    lambda g: al.rand(10_001, generator=g), lambda g: al.randn(10_001, generator=g, dtype=al.float64),
    lambda g: al.randint(1000, (10_001,), generator=g), lambda g: al.randperm(10_001, generator=g),
    lambda g: al.dropout(al.ones(40_001), 0.3, True, generator=g),
))
def test_bits_do_not_depend_on_threads(draw):
    threads = al.get_num_threads()
    try:
        drawn = []
        for n in (1, 2, 3):
            al.set_num_threads(n)
            drawn.append(draw(generator(5)))
    finally:
        al.set_num_threads(threads)
    assert all((d == drawn[0]).all() for d in drawn)


def test_an_element_depends_on_the_seed_and_its_number_only():
    whole = al.randn(1000, generator=generator(6))
    g = generator(6)
    parts = al.cat([al.randn(n, generator=g) for n in (1, 99, 37, 863)])
    assert (whole == parts).all()


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others():
    al.manual_seed(7)
    first = al.rand(100)
    al.manual_seed(7)
    assert (al.rand(100) == first).all()
    al.manual_seed(8)
    assert (al.rand(100) != first).any()


def test_a_permutation_holds_every_number_once_and_all_orders_occur():
    assert al.randperm(1000).sort().values.tolist() == list(range(1000))
    orders = {tuple(al.randperm(3).tolist()) for _ in range(200)}
    assert len(orders) == 6


def test_multinomial_draws_by_weight_and_never_what_has_none():
    weights = al.tensor([1.0, 0.0, 3.0, 0.0])
    drawn = al.multinomial(weights, N, replacement=True, generator=generator(9))
    counts = al.bincount(drawn, minlength=4).tolist()
    assert counts[1] == counts[3] == 0
    assert abs(counts[2] / N - 0.75) < 5 * math.sqrt(0.75 * 0.25 / N)


def test_multinomial_without_replacement_draws_each_once():
    rows = al.multinomial(al.rand(50, 20) + 0.1, 20)
    assert (rows.sort(-1).values == al.arange(20)).all()


def test_multinomial_without_replacement_prefers_heavy_weights():
    first = al.multinomial(al.tensor([[1.0, 2.0, 5.0]]).expand(N // 10, 3), 1, generator=generator(10))
    counts = al.bincount(first.reshape(-1), minlength=3).double() / (N // 10)
    assert al.allclose(counts, al.tensor([0.125, 0.25, 0.625], dtype=al.float64), atol=0.02)


def test_dropout_keeps_the_mean_and_its_gradient_uses_the_same_mask():
    x = al.ones(N).requires_grad_()
    y = al.dropout(x, 0.2, True, generator=generator(11))
    y.backward(al.ones(N))
    assert abs(y.mean().item() - 1) < 0.01
    assert (x.grad == y.detach()).all()
    assert sorted(y.detach().unique().tolist()) == [0.0, 1.25]


def test_integers_fill_the_whole_range_of_wide_and_narrow_dtypes():
    assert al.randint(0, 256, (5000,), dtype=al.uint8).unique().numel() == 256
    wide = al.randint(-(2**63), 2**63 - 1, (1000,))
    assert wide.min().item() < -(2**61)
    assert wide.max().item() > 2**61


@pytest.mark.parametrize("call, text", [
    (lambda: al.randint(3, 3, (2,)), "from=3 >= to=3"),
    (lambda: al.randint(0, 300, (2,), dtype=al.uint8), "out of bounds"),
    (lambda: al.randperm(-1), "non-negative, got -1"),
    (lambda: al.bernoulli(al.tensor([2.0])), r"in \[0, 1\]: got 2"),
    (lambda: al.multinomial(al.tensor([0.0, 0.0]), 1), "sum of probabilities <= 0"),
    (lambda: al.multinomial(al.tensor([1.0, 1.0]), 3), "without replacement: 3 of 2"),
    (lambda: al.zeros(3).uniform_(2, 1), "from=2 > to=1"),
    (lambda: al.zeros(3).normal_(0, -1), "std -1"),
    (lambda: al.dropout(al.ones(3), 1.5), "between 0 and 1, but got 1.5"),
])
def test_mistakes_are_named_with_their_values(call, text):
    with pytest.raises(RuntimeError, match=text):
        call()


def test_filling_a_leaf_that_requires_grad_is_refused():
    with pytest.raises(RuntimeError, match="leaf Variable"):
        al.zeros(3, requires_grad=True).normal_()


@pytest.mark.parametrize("rate", (0.02, 0.7, 5.0, 90.5, 2000.0))
def test_poisson_variates_follow_the_poisson_distribution(rate):
    scipy_stats = pytest.importorskip("scipy.stats")
    drawn = al.poisson(al.full((N,), rate, dtype=al.float64), generator(4)).numpy()
    for at in {math.floor(rate + sigmas * math.sqrt(rate)) for sigmas in (-2, -1, 0, 1, 2)}:
        share = scipy_stats.poisson.cdf(at, rate)
        assert abs((drawn <= at).mean() - share) < 5 * math.sqrt(share * (1 - share) / N) + 1e-9


def test_poisson_takes_a_rate_and_a_number_of_the_generator_an_element():
    rates = al.tensor([0.0, 3.0, 1e9, 0.0, 4.0], dtype=al.float64, requires_grad=True)
    whole = al.poisson(rates, generator(5))
    assert whole[0].item() == whole[3].item() == 0
    assert abs(whole[2].item() - 1e9) < 8 * math.sqrt(1e9)
    assert al.equal(whole[:2], al.poisson(rates[:2], generator(5)))
    whole.sum().backward()
    assert rates.grad.tolist() == [0.0] * 5


@pytest.mark.parametrize("rate", (-0.5, math.nan, math.inf))
def test_poisson_refuses_what_is_no_rate(rate):
    with pytest.raises(RuntimeError, match="invalid Poisson rate"):
        al.poisson(al.tensor([1.0, rate]))


def test_randint_takes_its_bounds_as_torch_spells_them():
    calls = [
        lambda g: al.randint(10, (2, 3), generator=g), lambda g: al.randint(10, size=(2, 3), generator=g),
        lambda g: al.randint(high=10, size=(2, 3), generator=g), lambda g: al.randint(0, 10, (2, 3), generator=g),
        lambda g: al.randint(0, high=al.tensor(10), size=(2, 3), generator=g), lambda g: al.randint(low=0, high=10, size=(2, 3), generator=g),
    ]  # fmt: skip
    first, *others = [call(generator(6)) for call in calls]
    assert first.shape == (2, 3) and all(al.equal(first, other) for other in others)
    assert al.equal(al.randint_like(first, high=10, generator=generator(6)), first)
    for wrong in (lambda: al.randint(5), lambda: al.randint(2, 5), lambda: al.randint(size=(2,)), lambda: al.randint(0, 2.5, (3,)), lambda: al.randint(True, (3,))):
        with pytest.raises(TypeError):
            wrong()
