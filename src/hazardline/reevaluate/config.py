"""Settings of the reevaluate stage."""

from hazardline.evaluate.config import EvaluateConfig


class ReevaluateConfig(EvaluateConfig):
    """The recipe's section `evaluate`: the champion is asked as the candidate is."""
