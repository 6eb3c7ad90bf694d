"""The image that components name. A name alone: a local run uses none, or the one of `--image` in containers.

What a compiled pipeline names is decided when it is compiled (`components/cluster.py`, `components/image_lock.py`): the
image of each stage by its digest, out of `docker/images.lock.yaml`.
"""

PIPELINE = "hazardline-pipeline-python"
"""Its name in `docker/images.lock.yaml`. Without the word `python` in it KFP's local runner would warn."""
