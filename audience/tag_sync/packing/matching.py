"""Smallest vertex covers of bipartite graphs, by largest matchings (König's theorem).

Paths grow from all unmatched vertices of the left side at once, a level at a time, each vertex of the right side in the
tree of one of them. So every step is an operation on arrays. Each tree that reaches an unmatched vertex gives a path
along which one more edge is matched; when none does, the matching is a largest one, and what the trees reached is the
cover.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vertices = NDArray[np.int64]
NOBODY = -1


@dataclass(frozen=True, slots=True, eq=False)
class VertexCover:
    """Smallest set of vertices with an end of every edge, and a largest matching, which is as large.

    Attributes:
        left: Whether a vertex of the left side is in the cover.
        right: Whether a vertex of the right side is.
        match_of_left: For each vertex of the left side the one that it is matched with, or -1.
    """

    left: NDArray[np.bool_]
    right: NDArray[np.bool_]
    match_of_left: Vertices

    @property
    def size(self) -> int:
        """Return the number of vertices in the cover, and of edges in the matching."""
        return int(np.count_nonzero(self.match_of_left != NOBODY))


def find_vertex_cover(left: Vertices, right: Vertices, left_count: int, right_count: int) -> VertexCover:
    """Return a smallest vertex cover of the graph with an edge from each of *left* to the one of *right* beside it."""
    order = np.argsort(left, kind="stable")
    graph = _Graph(np.searchsorted(left[order], np.arange(left_count + 1)), right[order])
    match_of_left = np.full(left_count, NOBODY, dtype=np.int64)
    match_of_right = np.full(right_count, NOBODY, dtype=np.int64)
    while True:
        forest = _grow_forest(graph, match_of_left, match_of_right)
        if not len(forest.ends):
            return VertexCover(~forest.reached_left, forest.parents != NOBODY, match_of_left)
        _flip_paths(forest, match_of_left, match_of_right)


@dataclass(frozen=True, slots=True, eq=False)
class _Graph:
    starts: Vertices
    neighbours: Vertices

    def edges_of(self, left: Vertices) -> tuple[Vertices, Vertices]:
        """Return both ends of all edges of *left*."""
        counts = self.starts[left + 1] - self.starts[left]
        ends = np.cumsum(counts)
        at = np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(self.starts[left] - ends + counts, counts)
        return np.repeat(left, counts), self.neighbours[at]


@dataclass(frozen=True, slots=True, eq=False)
class _Forest:
    """Trees of alternating paths: *parents* of the right side, and the *ends* of those that can be matched."""

    parents: Vertices
    reached_left: NDArray[np.bool_]
    ends: Vertices


def _grow_forest(graph: _Graph, match_of_left: Vertices, match_of_right: Vertices) -> _Forest:
    roots = np.where(match_of_left == NOBODY, np.arange(len(match_of_left)), NOBODY)
    reached_left = match_of_left == NOBODY
    parents = np.full(len(match_of_right), NOBODY, dtype=np.int64)
    end_of_root = np.full(len(match_of_left), NOBODY, dtype=np.int64)
    frontier = np.flatnonzero(reached_left)
    while len(frontier):
        left, right = graph.edges_of(frontier)
        is_new = parents[right] == NOBODY
        right, first = np.unique(right[is_new], return_index=True)
        left = left[is_new][first]
        parents[right] = left
        is_free = match_of_right[right] == NOBODY
        end_of_root[roots[left[is_free]]] = right[is_free]
        following = match_of_right[right[~is_free]]
        roots[following] = roots[left[~is_free]]
        reached_left[following] = True
        frontier = following[end_of_root[roots[following]] == NOBODY]
    return _Forest(parents, reached_left, end_of_root[end_of_root != NOBODY])


def _flip_paths(forest: _Forest, match_of_left: Vertices, match_of_right: Vertices) -> None:
    """Match the edges of each path that were not, in place; the paths have no vertex in common."""
    right = forest.ends
    while len(right):
        left = forest.parents[right]
        following = match_of_left[left]
        match_of_left[left] = right
        match_of_right[right] = left
        right = following[following != NOBODY]
