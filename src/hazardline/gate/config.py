"""Settings of the gate stage."""

from hazardline.documents import Document


class GateConfig(Document):
    """Recipe section `gate`."""

    policy: str = "mlflow/gates/crashchat_pocket.yaml"
    """The policy file: an absolute path, or one relative to the working folder or to the source checkout."""
