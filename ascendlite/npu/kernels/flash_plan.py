"""The shape of an attention problem, the tiles it is cut into, and the order in which a core walks through them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ascendlite.npu import ascendc as ac
from ascendlite.npu.lang.trace import Index

SLOTS = 3  # of what passes between two groups of tiles that follow each other; see Walk.place


def up(n: int, to: int) -> int:
    """n rounded up to a multiple."""
    return -(-n // to) * to


@dataclass(frozen=True)
class Lie:
    """Where rows of an operand lie, in elements: from one batch, head and row to the next."""

    batch: int
    head: int
    row: int

    def at(self, batch: Index, head: Index, row: Index) -> Index:
        return batch * self.batch + head * self.head + row * self.row


@dataclass(frozen=True)
class Problem:
    """softmax(q k^T scale + mask) v for B batches, H heads of q in G groups, L queries, S keys of E numbers, values of V numbers."""

    B: int
    H: int
    G: int
    L: int
    S: int
    E: int
    V: int
    causal: bool
    window: int  # 0: none
    scale: float
    q: Lie
    k: Lie
    v: Lie
    mask: Lie | None = None  # row 0: all queries share a row
    picked: bool = False  # keys are the values, too: one gradient in float32; and each row has a sink

    @property
    def group(self) -> int:
        """Heads of q for each head of k and v."""
        return self.H // self.G


@dataclass(frozen=True)
class Tiles:
    """Queries and keys of a tile: the cube core multiplies bm x bn, each vector core works on half of the rows.

    step: keys that the cube multiplies at once (forward only). ahead: tiles of a group, so many the cube is ahead of the vector cores (backward only).
    """

    bm: int
    bn: int
    step: int = 0
    ahead: int = 1

    @property
    def steps(self) -> int:
        return -(-self.bn // self.step)

    @property
    def rows(self) -> int:
        return self.bm // 2

    @property
    def slots(self) -> int:
        """Tiles that are under way."""
        return SLOTS * self.ahead

    @property
    def backs(self) -> int:
        """Buffers for what the vector cores made of a tile: it is taken at once, where it does not go with the tile's slot."""
        return SLOTS if self.ahead == 1 else self.ahead


@dataclass(frozen=True)
class Place:
    """A tile: queries i0 .. i0 + m, keys j0 .. j0 + n of one head. `item` counts what this core works on, `slot` is never that of the tile before.

    Of a group: its first tile and its slot; Walk.tile gives each of its `count` tiles.
    """

    item: Index
    repeat: Index
    x: Index
    batch: Index
    head: Index  # of q
    group: Index  # of k and v
    i0: Index
    m: Index
    j0: Index
    n: Index
    slot: Index
    first: Index  # of its item
    last: Index
    across: Index  # groups of a head in this item
    count: Index  # tiles of the group
    buffer: Index = 0  # of the tile in its group


class Walk:
    """Tiles of this core, item by item. by_keys: an item is a block of keys and meets all queries of its group, else a block of queries.

    Longest items come first, so that the cores end together.
    """

    def __init__(self, p: Problem, t: Tiles, by_keys: bool) -> None:
        self.p, self.t, self.by_keys = p, t, by_keys
        self.down, self.along = -(-p.L // t.bm), -(-p.S // t.bn)
        self.lanes = p.B * (p.G if by_keys else p.H)
        self.blocks = self.along if by_keys else self.down
        self.repeats = p.group if by_keys else 1
        self.core = ac.GetBlockIdx() if ac.IsAIC() else ac.GetBlockIdx() // 2
        self.count = ac.CeilDiv(self.lanes * self.blocks - self.core, ac.GetBlockNum())

    def _span(self, block: Index) -> tuple[Index, Index]:
        """First tile and tiles of a head that the block sees; at least one, so that its results are written."""
        p, t = self.p, self.t
        low: Index = 0
        high: Index = self.down if self.by_keys else self.along
        most = high
        if self.by_keys:
            if p.causal:
                low = ac.min(block * t.bn // t.bm, most - 1)
            if p.window:
                high = ac.min(most, ac.CeilDiv((block + 1) * t.bn - 1 + p.window, t.bm))
        else:
            if p.window:
                low = ac.min(ac.max(0, block * t.bm - p.window + 1) // t.bn, most - 1)
            if p.causal:
                high = ac.min(most, ac.CeilDiv((block + 1) * t.bm, t.bn))
        return low, ac.max(1, high - low)

    def place(self, item: Index, repeat: Index, x: Index) -> Place:
        """The x-th group of tiles of a head of an item.

        Slots: the last group of a long item has one of its own; the others alternate, from item to item too. So no two groups in a row share one.
        """
        p, t = self.p, self.t
        number = self.core + item * ac.GetBlockNum()
        lane, order = number % self.lanes, ac.min(number // self.lanes, self.blocks - 1)
        block = order if self.by_keys else self.blocks - 1 - order
        low, tiles = self._span(block)
        across = tiles if t.ahead == 1 else ac.CeilDiv(tiles, t.ahead)
        count = 1 if t.ahead == 1 else ac.max(1, ac.min(t.ahead, tiles - x * t.ahead))
        x0 = low + x * t.ahead
        total = across * self.repeats
        step = repeat * across + x
        last = step == total - 1
        slot = ac.select((total > 1) & last, 2, (step + item) % 2)
        batch, of_batch = (lane // p.G, lane % p.G) if self.by_keys else (lane // p.H, lane % p.H)
        head = of_batch * p.group + repeat if self.by_keys else of_batch
        group = of_batch if self.by_keys else of_batch // p.group
        i, j = (x0, block) if self.by_keys else (block, x0)
        i, j = ac.min(i, self.down - 1), ac.min(j, self.along - 1)
        i0, j0 = i * t.bm, j * t.bn
        return Place(item, repeat, x, batch, head, group, i0, ac.min(t.bm, p.L - i0), j0, ac.min(t.bn, p.S - j0), slot, step == 0, last, across, count)

    def tile(self, at: Place, number: Index) -> Place:
        """One tile of a group."""
        p, t = self.p, self.t
        if t.ahead == 1:
            return at
        i0 = ac.min(at.i0 + number * t.bm, (self.down - 1) * t.bm) if self.by_keys else at.i0
        j0 = at.j0 if self.by_keys else ac.min(at.j0 + number * t.bn, (self.along - 1) * t.bn)
        first, last = at.first & (number == 0), at.last & (number == at.count - 1)
        slot = at.slot * t.ahead + number
        return replace(at, i0=i0, m=ac.min(t.bm, p.L - i0), j0=j0, n=ac.min(t.bn, p.S - j0), first=first, last=last, slot=slot, buffer=number)

    def places(self) -> Iterator[Place]:
        """All groups in order."""
        for item in ac.range(self.count):
            across = self.place(item, 0, 0).across
            for repeat in ac.range(self.repeats):
                for x in ac.range(across):
                    yield self.place(item, repeat, x)

    def after(self, at: Place) -> tuple[Index, Place]:
        """Whether there is a next tile, and which."""
        row, item = at.x + 1 < at.across, at.last == 0
        exists = item | (at.item + 1 < self.count)
        repeat = ac.select(item, ac.select(row, at.repeat, at.repeat + 1), 0)
        return exists, self.place(ac.select(item, at.item, at.item + 1), ac.min(repeat, self.repeats - 1), ac.select(row, at.x + 1, 0))

    def before(self, at: Place) -> tuple[Index, Place]:
        """Whether there is a tile before, and which. Of items of one head only."""
        item = ac.select(at.first, at.item - 1, at.item)
        end = self.place(ac.max(item, 0), 0, 0).across - 1
        return (at.first == 0) | (at.item > 0), self.place(ac.max(item, 0), 0, ac.select(at.first, end, at.x - 1))

    def final(self) -> Place:
        """The last tile of all. Of items of one head only."""
        item = ac.max(self.count - 1, 0)
        return self.place(item, 0, self.place(item, 0, 0).across - 1)

    def start(self) -> Place:
        return self.place(0, 0, 0)

    def my_rows(self, at: Place) -> tuple[Index, Index]:
        """(first query, count) of this vector core's half of a tile."""
        sub = ac.GetSubBlockIdx() * self.t.rows
        return at.i0 + sub, ac.max(0, ac.min(self.t.rows, at.m - sub))
