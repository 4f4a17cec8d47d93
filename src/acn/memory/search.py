"""Exact nearest neighbours, fast enough for every training step.

A float32 matrix product gives approximate squared distances, from which a few candidates per query are kept. Exact
float64 distances order the candidates, and a bound on the rounding error of the product proves that no other code can
belong to the answer. Where the proof fails (equal codes, or codes far from the origin) the query is answered again, by
exact distances to every code that the bound does not rule out. So the answer is always that of the full search.

The host reads the proof from the device, which a training step must not wait for: `nearly_nearest` does without it.

Letters: B queries, N codes of size D, k neighbours, P pairs of a query and a code.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from acn.errors import TrainingError, UsageError

# Candidates beyond k: the gap to the last of them is what the proof lives on.
MARGIN = 8
# Approximate distances held at once (float32): few enough to stay in a CPU's cache; a GPU wants large launches.
_CPU_ENTRIES = 2**20
_GPU_ENTRIES = 2**25
# Most values of float64 differences held at once while exact distances are computed.
_EXACT_VALUES = 2**21


def squared_distances(first: Tensor, second: Tensor) -> Tensor:
    """Squared Euclidean distances over the last axis, in float64: the one measure that decides every comparison."""
    return (first.double() - second.double()).square().sum(-1)


def nearest(
    queries: Tensor,
    codes: Tensor,
    k: int,
    *,
    exclude: Tensor | None = None,
    blocked: Tensor | None = None,
) -> Tensor:
    """Return the rows of the `k` codes nearest to each query, nearest first; of equal distances the lower row first.

    Args:
        queries: `[B, D]` floats.
        codes: `[N, D]` floats on the same device.
        k: neighbours wanted per query.
        exclude: `[B]` a row per query that is never returned: the query's own.
        blocked: `[N]` true for rows that are never returned.

    Returns:
        `[B, k]` int64 rows of `codes`, equal to a full search by `squared_distances`.

    Raises:
        UsageError: fewer than `k` rows may be returned for some query.
        TrainingError: a query or a code is not finite.
    """
    _check_count(k, len(queries), len(codes), exclude, blocked)
    found = torch.empty(len(queries), k, dtype=torch.long, device=codes.device)
    for part in _parts(queries):
        found[part] = _nearest(queries[part], codes, k, None if exclude is None else exclude[part], blocked)[0]
    return found


def nearly_nearest(queries: Tensor, codes: Tensor, k: int, *, exclude: Tensor) -> Tensor:
    """Return what `nearest` does, but for codes whose distances differ by less than float32 products can tell.

    Of such codes, equal ones for instance, any may be returned. In exchange, nothing is read from the device.

    Args:
        queries: `[B, D]` floats, B at least 1.
        codes: `[N, D]` floats on the same device; squared norms are finite in float32.
        k: neighbours wanted per query, at most N - 1.
        exclude: `[B]` a row per query that is never returned: the query's own.

    Returns:
        `[B, k]` int64 rows of `codes`, nearest first.
    """
    return nearly_ranked(queries, codes, k, exclude=exclude)[1]


def nearly_ranked(queries: Tensor, codes: Tensor, k: int, *, exclude: Tensor) -> tuple[Tensor, Tensor]:
    """Return squared distances `[B, k]`, in float64, and what `nearly_nearest` does.

    k is at most N. At an infinite distance, last, is the row that is excluded, if there are no more others.
    """
    with torch.autocast(codes.device.type, enabled=False):
        found = [_ranked(queries[part], codes, k, exclude[part], None) for part in _parts(queries)]
    return torch.cat([part.distances for part in found]), torch.cat([part.rows for part in found])


def proven_share(queries: Tensor, codes: Tensor, k: int, *, exclude: Tensor | None = None) -> float:
    """Share of queries, in one search, that the approximate distances settle without a second search."""
    return float(_nearest(queries, codes, k, exclude, None)[1].double().mean())


def _nearest(
    queries: Tensor, codes: Tensor, k: int, exclude: Tensor | None, blocked: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the answer `[B, k]` and which queries `[B]` were proven at once."""
    with torch.autocast(codes.device.type, enabled=False):
        found = _search(queries, codes, k, exclude, blocked)
        if not bool(found.finite):
            raise TrainingError("the neighbour search met a code that is not finite (NaN, infinite or beyond 1e19)")
        doubtful = (~found.proven).nonzero()[:, 0]
        if len(doubtful):
            own = None if exclude is None else exclude[doubtful]
            bound = found.bound[doubtful]
            found.rows[doubtful] = _within(queries[doubtful], codes, k, bound, own, blocked)
    return found.rows, found.proven


class _Found(NamedTuple):
    """The k nearest candidates of each query.

    `rows` `[B, k]`, nearest first; the k-th squared distance `bound` `[B]`, which that of the answer does not exceed;
    `proven` `[B]` where no other code is nearer; `finite` `[]` whether all that was compared is.
    """

    rows: Tensor
    bound: Tensor
    proven: Tensor
    finite: Tensor


def _search(queries: Tensor, codes: Tensor, k: int, exclude: Tensor | None, blocked: Tensor | None) -> _Found:
    distances, rows, last, longest = _ranked(queries, codes, k, exclude, blocked)
    bound = distances[:, k - 1]
    norms = queries.double().square().sum(1)  # [B]
    delta = _rounding(norms, longest, codes.shape[1], _epsilon())
    finite = (longest < torch.inf) & queries.isfinite().all()
    return _Found(rows, bound, bound < last + norms - delta, finite)


class _Ranked(NamedTuple):
    """The k nearest of the candidates, nearest first: squared `distances` and `rows`, both `[B, k]`.

    No code that was no candidate has an approximate value |c|^2 - 2 q.c below `last` `[B]`; `longest` `[]` is the
    largest |c| of all codes.
    """

    distances: Tensor
    rows: Tensor
    last: Tensor
    longest: Tensor


def _ranked(queries: Tensor, codes: Tensor, k: int, exclude: Tensor | None, blocked: Tensor | None) -> _Ranked:
    approximate, rows, longest = _candidates(queries, codes, k + 1 + MARGIN, blocked)
    last = approximate.amax(1).double()
    if approximate.shape[1] == len(codes):
        last.fill_(torch.inf)  # no code is outside
    outside = approximate == torch.inf  # blocked
    if exclude is not None:
        outside |= rows == exclude[:, None]
    distances, rows = ordered(queries, codes, rows, outside)
    return _Ranked(distances[:, :k], rows[:, :k], last, longest)


def ordered(queries: Tensor, codes: Tensor, rows: Tensor, outside: Tensor) -> tuple[Tensor, Tensor]:
    """Sort `rows` `[B, n]` of codes by exact (squared distance, row); return both `[B, n]`.

    Those that are `outside` `[B, n]` come last, at an infinite distance.
    """
    rows, order = rows.sort(1)
    distances = _candidate_distances(queries, codes, rows).masked_fill(outside.gather(1, order), torch.inf)
    distances, order = distances.sort(dim=1, stable=True)
    return distances, rows.gather(1, order)


def _candidates(queries: Tensor, codes: Tensor, count: int, blocked: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return the smallest values of |c|^2 - 2 q.c, their rows (both `[B, count]` or fewer) and the largest |c| `[]`."""
    width = _width(queries)
    doubled = queries.float() * -2
    values, rows, longest = [], [], []
    for start in range(0, len(codes), width):
        chunk = codes[start : start + width].float()
        squares = torch.bmm(chunk[:, None], chunk[:, :, None])[:, 0, 0]
        longest.append(squares.amax())
        if blocked is not None:
            squares = squares.masked_fill(blocked[start : start + width], torch.inf)
        value, column = _smallest(torch.addmm(squares, doubled, chunk.T), count)
        values.append(value)
        rows.append(column + start)
    value, order = _topk(torch.cat(values, 1), count)
    return value, torch.cat(rows, 1).gather(1, order), torch.stack(longest).amax().double().sqrt()


def _smallest(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the `count` smallest of each row of `scores` `[B, n]`, with their columns, in no particular order.

    The `count` smallest values lie in the `count` blocks of columns with the smallest minima (or in the tail that fills
    no block), so that only those blocks are read a second time.
    """
    size = 2 ** math.ceil(math.log2(scores.shape[1] / count) / 2) if scores.shape[1] > count else 1
    blocks = scores.shape[1] // size
    if size < 4:
        return _topk(scores, count)
    # Block j holds columns j, j + blocks, j + 2 blocks ...: minima over the middle axis run along memory.
    minima = scores[:, : size * blocks].view(-1, size, blocks).amin(1)
    chosen = _topk(minima, count)[1]  # [B, count]
    columns = (chosen[:, :, None] + torch.arange(size, device=scores.device) * blocks).flatten(1)
    tail = torch.arange(size * blocks, scores.shape[1], device=scores.device).expand(len(scores), -1)
    columns = torch.cat([columns, tail], 1)
    values, order = _topk(scores.gather(1, columns), count)
    return values, columns.gather(1, order)


def _within(
    queries: Tensor, codes: Tensor, k: int, bound: Tensor, exclude: Tensor | None, blocked: Tensor | None
) -> Tensor:
    """Return the exact `[B, k]` answer, given `bound` `[B]` that the k-th squared distance does not exceed.

    Float64 products rule out nearly every code; exact distances decide among the rest, however many are equal.
    """
    exact = queries.double()
    norms = exact.square().sum(1)
    width = _width(queries)
    best = (torch.empty(0, dtype=torch.long, device=codes.device),) * 2 + (norms[:0],)
    for start in range(0, len(codes), width):
        chunk = codes[start : start + width].double()
        squares = chunk.square().sum(1)
        delta = _rounding(norms, squares.amax().sqrt(), codes.shape[1], torch.finfo(torch.float64).eps)
        scores = torch.addmm(squares, exact, chunk.T, alpha=-2)
        possible = scores <= (bound + delta - norms)[:, None]
        if blocked is not None:
            possible &= ~blocked[start : start + width]
        query, column = possible.nonzero(as_tuple=True)
        row = column + start
        if exclude is not None:
            keep = row != exclude[query]
            query, row = query[keep], row[keep]
        found = (query, row, _pair_distances(queries, codes, query, row))
        best = _best(*(torch.cat(both) for both in zip(best, found, strict=True)), k=k)
    return best[1].view(len(queries), k)


def _best(query: Tensor, row: Tensor, distance: Tensor, *, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Keep the `k` best pairs of each query, by (distance, row), out of `[P]` pairs whose rows ascend per query."""
    order = distance.argsort(stable=True)
    order = order[query[order].argsort(stable=True)]
    query, row, distance = query[order], row[order], distance[order]
    rank = torch.arange(len(query), device=query.device) - torch.searchsorted(query, query)
    keep = rank < k
    return query[keep], row[keep], distance[keep]


def _candidate_distances(queries: Tensor, codes: Tensor, rows: Tensor) -> Tensor:
    """Exact squared distances `[B, n]` of `rows` `[B, n]`."""
    query = torch.arange(len(queries), device=codes.device).repeat_interleave(rows.shape[1])
    return _pair_distances(queries, codes, query, rows.flatten()).view(rows.shape)


def _pair_distances(queries: Tensor, codes: Tensor, query: Tensor, row: Tensor) -> Tensor:
    """Exact squared distances `[P]`, in pieces that keep memory small."""
    step = max(1, _EXACT_VALUES // codes.shape[1])
    pieces = zip(torch.split(query, step), torch.split(row, step), strict=True)
    return torch.cat([squared_distances(queries[q], codes[r]) for q, r in pieces])


def _rounding(norms: Tensor, longest: Tensor, size: int, epsilon: float) -> Tensor:
    """Bound `[B]` the error of |c|^2 - 2 q.c, summed in any order, together with that of the exact distance.

    Standard bound: a sum of n products errs by at most n u sum|products| with u = epsilon / 2; all products together
    are at most (|q| + |c|)^2. The factor of two in epsilon pays for second-order terms, the last term for underflow.
    """
    return (size + 8) * (epsilon * (norms.sqrt() + longest) ** 2 + 4 * torch.finfo(torch.float32).tiny)


def _epsilon() -> float:
    """Relative spacing of float32 products, which torch may be told to compute with as little as 8 bits."""
    exact = torch.get_float32_matmul_precision() == "highest"
    return torch.finfo(torch.float32 if exact else torch.bfloat16).eps


def _parts(queries: Tensor) -> Iterator[slice]:
    step = 1024 if queries.is_cuda else 128
    for start in range(0, len(queries), step):
        yield slice(start, start + step)


def _width(queries: Tensor) -> int:
    """Codes per chunk for this many queries."""
    return max(1, (_GPU_ENTRIES if queries.is_cuda else _CPU_ENTRIES) // max(1, len(queries)))


def _topk(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    smallest = values.topk(min(count, values.shape[1]), 1, largest=False, sorted=False)
    return smallest.values, smallest.indices


def _check_count(k: int, queries: int, codes: int, exclude: Tensor | None, blocked: Tensor | None) -> None:
    eligible = codes - (0 if blocked is None else int(blocked.sum()))
    if exclude is not None and queries:
        eligible -= 1 if blocked is None else int((~blocked[exclude]).any())
    if not 1 <= k <= eligible:
        raise UsageError(f"{k} nearest neighbours were asked of {codes} codes, of which {eligible} may be returned")
