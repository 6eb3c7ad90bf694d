"""A data set's own split, seen by group: what can be kept of it, and where it tears a group apart."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from hazardline.split.columns import Clips
from hazardline.split.config import SplitConfig
from hazardline.split.groups import Groups

NONE = -1
_SPLITS = ("train", "validation", "test")
_NUM_SHOWN = 5


@dataclass(frozen=True)
class Published:
    """The published split of every group."""

    of_group: np.ndarray
    """Number of the split (g, int8) that holds most of the group's clips, of as many the later one; `NONE`: none."""
    of_clip: np.ndarray
    """Number of the split (n, int8) of every clip; `NONE`: none."""
    is_torn: np.ndarray
    """Whether a group (g, bool) stands in more than one."""
    num_clips: int
    """Clips with a published split."""
    torn: tuple[str, ...]
    """First clip ids of the first groups that stand in more than one."""
    num_torn: int
    """All groups that do."""
    num_moved: int
    """Clips that leave their published split when such groups are kept whole."""

    @classmethod
    def of(cls, clips: Clips, groups: Groups) -> Self | None:
        """None where no clip has a published split."""
        column = clips.coded("published_split")
        if not column.names:
            return None
        number = np.array([*(_SPLITS.index(name) for name in column.names), NONE], np.int8)
        splits = number[column.codes]
        given = splits != NONE
        counts = np.zeros((len(groups.first), len(_SPLITS)), np.int32)
        np.add.at(counts, (groups.of_clip[given], splits[given]), 1)
        most = len(_SPLITS) - 1 - counts[:, ::-1].argmax(1)
        is_torn = (counts > 0).sum(1) > 1
        torn = np.flatnonzero(is_torn)
        return cls(
            of_group=np.where(counts.any(1), most, NONE).astype(np.int8),
            of_clip=splits,
            is_torn=is_torn,
            num_clips=int(given.sum()),
            torn=tuple(clips.ids.take(groups.first[torn[:_NUM_SHOWN]]).to_pylist()),
            num_torn=len(torn),
            num_moved=int(counts.sum() - counts.max(1).sum()) if len(counts) else 0,
        )


def torn_on_purpose(groups: Groups, config: SplitConfig, published: Published | None) -> np.ndarray | None:
    """Whether a clip (n, bool) is of a group that the published split tears and that is kept so; None: no clip is."""
    if published is None or config.use_published != "exactly":
        return None
    is_torn: np.ndarray = published.is_torn[groups.of_clip]
    return is_torn
