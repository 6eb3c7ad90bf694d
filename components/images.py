"""Container images of the components, by digest. `docker/images.lock.yaml` is where a digest comes from."""

PIPELINE = (
    "registry.example/hazardline-pipeline-python"
    "@sha256:0000000000000000000000000000000000000000000000000000000000000000"
)
"""No image has been pushed anywhere yet: name and digest hold the place. A local run uses none of them.

The word `python` in the name keeps KFP's local runner from warning of an image without Python.
"""
