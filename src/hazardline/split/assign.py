"""Which split a group goes to: a pure function of ids, labels, scenarios and a salt."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from hazardline.errors import UserError
from hazardline.files import sha256_bytes
from hazardline.split.config import SplitConfig

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

_STEP = 0.01
_LEAST_TRAIN_SHARE = 0.2


def assign(scenes: Sequence[Mapping[str, Any]], groups: Mapping[str, str], config: SplitConfig) -> dict[str, Split]:
    """The split of every group.

    Groups of one stratum (their labels and scenarios) are dealt out in an order that the salt decides, the largest
    first, each to the split that lacks most, in its stratum and over all. The order of the rows changes nothing. A clip
    more can move others: a split is kept by keeping its table, not by running this again.

    Args:
        scenes: Rows of the scenes table.
        groups: Clip id -> group id, of `hazardline.split.groups.group`.
        config: Shares, salt, least number of test clips.

    Returns:
        Group id -> split.

    Raises:
        UserError: a split stays empty, or the test clips cannot be found.
    """
    test_share = max(config.test_share, min(config.min_test_clips / max(1, len(scenes)), 1.0))
    while True:
        train_share = 1 - config.validation_share - test_share
        if train_share < min(_LEAST_TRAIN_SHARE, config.train_share) - 1e-9:
            raise UserError(
                f"split: {config.min_test_clips} test clips (min_test_clips) of {len(scenes)} leave less than "
                f"{_LEAST_TRAIN_SHARE:.0%} for training; bring more clips or lower min_test_clips"
            )
        shares: dict[Split, float] = {
            "train": train_share,
            "validation": config.validation_share,
            "test": test_share,
        }
        result = _deal(scenes, groups, shares, config.salt)
        num_test = sum(result[groups[row["clip_id"]]] == "test" for row in scenes)
        if num_test >= config.min_test_clips:
            break
        test_share += _STEP
    empty = [split for split in SPLITS if split not in result.values()]
    if empty:
        raise UserError(
            f"split: no group left for {', '.join(empty)}: {len(scenes)} clips make {len(result)} groups (pairs, "
            f"recordings, near-duplicates); bring more clips or change the shares"
        )
    return result


def _deal(
    scenes: Sequence[Mapping[str, Any]], groups: Mapping[str, str], shares: Mapping[Split, float], salt: str
) -> dict[str, Split]:
    members: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in scenes:
        members[groups[row["clip_id"]]].append(row)
    order = sorted(members, key=lambda g: (-len(members[g]), sha256_bytes(f"{salt}\0{g}".encode())))
    dealt: dict[tuple[str, ...], dict[Split, int]] = defaultdict(lambda: dict.fromkeys(SPLITS, 0))
    overall: dict[Split, int] = dict.fromkeys(SPLITS, 0)
    result: dict[str, Split] = {}
    for name in order:
        rows = members[name]
        stratum = dealt[tuple(sorted({f"{row['label']}/{row['scenario']}" for row in rows}))]

        def lack(split: Split, size: int = len(rows), stratum: dict[Split, int] = stratum) -> float:
            return sum(shares[split] * (sum(have.values()) + size) - have[split] for have in (stratum, overall))

        chosen = max(SPLITS, key=lack)
        result[name] = chosen
        stratum[chosen] += len(rows)
        overall[chosen] += len(rows)
    return result
