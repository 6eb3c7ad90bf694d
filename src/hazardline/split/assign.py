"""Which split a group goes to: a pure function of ids, labels, scenarios and a salt."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

import numpy as np
import pyarrow as pa

from hazardline.errors import UserError
from hazardline.split.columns import Clips, hash_text
from hazardline.split.config import SplitConfig
from hazardline.split.groups import Groups
from hazardline.split.published import NONE, Published
from hazardline.tables import ASSIGNMENT

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

_STEP = 0.01
_LEAST_TRAIN_SHARE = 0.2
_STRETCH = 1 << 16
Shares = tuple[float, float, float]


@dataclass(frozen=True)
class _Hand:
    """The groups that are dealt out: clips (g), stratum (g), and their numbers in the order of dealing."""

    sizes: np.ndarray
    strata: np.ndarray
    order: np.ndarray

    def only(self, wanted: np.ndarray) -> "_Hand":
        """The same with those groups (g, bool) alone in the order."""
        return _Hand(self.sizes, self.strata, self.order[wanted[self.order]])


def assign(clips: Clips, groups: Groups, config: SplitConfig, published: Published | None = None) -> np.ndarray:
    """The split of every group.

    Groups of one stratum (their labels and scenarios) are dealt out in an order that the salt decides, the largest
    first, each to the split that lacks most, in its stratum and over all. The order of the rows changes nothing. A clip
    more can move others: a split is kept by keeping its table, not by running this again.

    Args:
        clips: The scenes.
        groups: What stays together.
        config: Shares, salt, least number of test clips.
        published: The data set's own split, where it is to be kept.

    Returns:
        Number of the split in `SPLITS` (g, int8) of every group; `of_clips` says the clips'.

    Raises:
        UserError: a split stays empty, or the test clips cannot be found.
    """
    hand = _Hand(groups.sizes, _strata(clips, groups), _order(clips, groups, config.salt))
    if published is None:
        result = _deal_enough(hand, config, len(clips))
    else:
        result = _keep(hand, config, published)
        if config.use_published == "exactly":
            return result  # it is the clips that must fill the splits
    counts = np.bincount(result, weights=hand.sizes, minlength=len(SPLITS))
    empty = [split for split, count in zip(SPLITS, counts, strict=True) if not count]
    if empty:
        raise UserError(
            f"split: no group left for {', '.join(empty)}: {len(clips)} clips make {len(result)} groups "
            f"({', '.join(config.group_by)}, near-duplicates); bring more clips or change the shares or group_by"
        )
    return result


def of_clips(of_group: np.ndarray, groups: Groups, config: SplitConfig, published: Published | None) -> np.ndarray:
    """The split of every clip: its group's, or where the published split is kept exactly, its own.

    Args:
        of_group: Number of the split (g, int8) of every group, as `assign` gives it.
        groups: What stays together.
        config: Whether the published split is kept exactly; least number of test clips.
        published: The data set's own split, if it has one.

    Returns:
        Number of the split in `SPLITS` (n, int8) of every clip.

    Raises:
        UserError: there is no published split to keep, or it lacks a split or test clips.
    """
    splits: np.ndarray = of_group[groups.of_clip]
    if config.use_published != "exactly":
        return splits
    if published is None:
        raise UserError("split: no clip has a published split to keep exactly; set use_published to false")
    splits = np.where(published.of_clip == NONE, splits, published.of_clip).astype(np.int8)
    counts = np.bincount(splits, minlength=len(SPLITS))
    empty = [split for split, count in zip(SPLITS, counts, strict=True) if not count]
    if empty:
        raise UserError(
            f"split: the published split has no {', no '.join(empty)}, so it cannot be kept exactly; use_published: "
            "true makes what it lacks"
        )
    _check_test_clips(int(counts[SPLITS.index("test")]), config)
    return splits


def _check_test_clips(num_test: int, config: SplitConfig) -> None:
    if num_test < config.min_test_clips:
        raise UserError(
            f"split: the published split has {num_test} test clips, min_test_clips asks for {config.min_test_clips}; "
            "lower it, or set use_published to false"
        )


def _deal_enough(hand: _Hand, config: SplitConfig, num_clips: int) -> np.ndarray:
    """Deal out, with a test share that grows until there are enough test clips."""
    test_share = max(config.test_share, min(config.min_test_clips / max(1, num_clips), 1.0))
    while True:
        train_share = 1 - config.validation_share - test_share
        if train_share < min(_LEAST_TRAIN_SHARE, config.train_share) - 1e-9:
            raise UserError(
                f"split: {config.min_test_clips} test clips (min_test_clips) of {num_clips} leave less than "
                f"{_LEAST_TRAIN_SHARE:.0%} for training; bring more clips or lower min_test_clips"
            )
        result = _deal(hand, (train_share, config.validation_share, test_share))
        if hand.sizes[result == SPLITS.index("test")].sum() >= config.min_test_clips:
            return result
        test_share += _STEP


def _keep(hand: _Hand, config: SplitConfig, published: Published) -> np.ndarray:
    """The published split, filled up: groups without one, and a validation or test split that it lacks."""
    theirs = published.of_group.copy()
    train, validation, test = range(3)
    shares: Shares = (config.train_share, config.validation_share, config.test_share)
    if not (theirs == test).any():
        theirs[theirs == validation] = test
    if not (theirs == validation).any():
        ours = theirs == train
        total = config.train_share + config.validation_share
        dealt = _deal(hand.only(ours), (config.train_share / total, config.validation_share / total, 0.0))
        theirs[ours] = dealt[ours]
    free = theirs == NONE
    theirs[free] = _deal(hand.only(free), shares)[free]
    if config.use_published != "exactly":
        _check_test_clips(int(hand.sizes[theirs == test].sum()), config)
    return theirs


def _deal(hand: _Hand, shares: Shares) -> np.ndarray:
    """Split (g, int8) of the groups in the order; `NONE` of the others."""
    dealt = [[0, 0, 0] for _ in range(int(hand.strata.max()) + 1 if len(hand.strata) else 0)]
    overall = [0, 0, 0]
    result = np.full(len(hand.sizes), NONE, np.int8)
    for start in range(0, len(hand.order), _STRETCH):
        stretch = hand.order[start : start + _STRETCH]
        chosen = []
        for size, stratum in zip(hand.sizes[stretch].tolist(), hand.strata[stretch].tolist(), strict=True):
            ours = dealt[stratum]
            num_ours, num_all = sum(ours) + size, sum(overall) + size
            lacks = [share * num_ours - ours[k] + (share * num_all - overall[k]) for k, share in enumerate(shares)]
            split = lacks.index(max(lacks))
            ours[split] += size
            overall[split] += size
            chosen.append(split)
        result[stretch] = chosen
    return result


def _order(clips: Clips, groups: Groups, salt: str) -> np.ndarray:
    """Group numbers (g), the largest group first, those of one size as the salt decides."""
    drawn = np.empty(len(groups.first), np.uint64)
    for start in range(0, len(drawn), _STRETCH):
        names = clips.ids.take(groups.first[start : start + _STRETCH]).to_pylist()
        digests = b"".join(sha256(f"{salt}\0{name}".encode()).digest()[:8] for name in names)
        drawn[start : start + len(names)] = np.frombuffer(digests, ">u8")
    return np.lexsort((drawn, -groups.sizes))


def _strata(clips: Clips, groups: Groups) -> np.ndarray:
    """Number of the stratum (g): groups with the same set of label and scenario share one."""
    labels, scenarios = clips.coded("label"), clips.coded("scenario")
    kinds = [f"{label}/{scenario}" for label in labels.names for scenario in scenarios.names]
    kind = labels.codes.astype(np.int64) * len(scenarios.names) + scenarios.codes
    distinct = np.unique(groups.of_clip.astype(np.int64) * len(kinds) + kind)
    # The sum of 64-bit hashes names the set: order does not matter, and another set has another sum.
    hashes = np.array([hash_text(text) for text in kinds], np.uint64)
    sums = np.zeros(len(groups.first), np.uint64)
    if len(distinct):
        np.add.at(sums, distinct // len(kinds), hashes[distinct % len(kinds)])
    numbers: np.ndarray = np.unique(sums, return_inverse=True)[1]
    return numbers.astype(np.int32)


@dataclass(frozen=True)
class Assignment:
    """The assignment table, as stretches of rows in the order of the clip ids."""

    clips: Clips
    groups: Groups
    splits: np.ndarray
    """Number of the split (n, int8) of each clip."""

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Anew each time; only one stretch is in memory."""
        names = pa.array(SPLITS)
        for start in range(0, len(self.clips), _STRETCH):
            part = slice(start, start + _STRETCH)
            first = self.groups.first[self.groups.of_clip[part]]
            columns = [
                self.clips.ids[part],
                self.clips.ids.take(pa.array(first)),
                names.take(pa.array(self.splits[part])),
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=ASSIGNMENT.schema)
