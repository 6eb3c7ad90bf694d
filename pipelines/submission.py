"""Sends a compiled pipeline to a Kubeflow Pipelines endpoint: pipeline, version, run.

A pipeline and a version are looked up by name first, so that nothing is uploaded twice: a version's name holds the
digest of its file. Of two clients that upload the same at once, one is told that it is there, and takes it.
"""

import json
from dataclasses import dataclass
from typing import Any

import kfp_server_api

from hazardline.errors import UserError

from pipelines.endpoint import LIMIT, Endpoint
from pipelines.package import Package


@dataclass(frozen=True)
class Uploaded:
    """A version of a pipeline that the endpoint has."""

    pipeline_id: str
    version_id: str
    is_new: bool

    def reference(self) -> kfp_server_api.V2beta1PipelineVersionReference:
        """How a run names it."""
        return kfp_server_api.V2beta1PipelineVersionReference(
            pipeline_id=self.pipeline_id, pipeline_version_id=self.version_id
        )


def upload(endpoint: Endpoint, package: Package) -> Uploaded:
    """Have a package on the endpoint, under its name and version.

    Raises:
        UserError: the endpoint refuses it or was lost.
    """
    pipeline_id = _pipeline(endpoint, package)
    found = _version(endpoint, pipeline_id, package.version)
    if found is not None:
        return Uploaded(pipeline_id, found, is_new=False)
    made = endpoint.tell(
        lambda client: client.pipeline_uploads.upload_pipeline_version(
            str(package.path),
            name=package.version,
            display_name=package.version,
            description=package.description,
            pipelineid=pipeline_id,
            **LIMIT,
        )
    )
    version_id = made.pipeline_version_id if made is not None else _version(endpoint, pipeline_id, package.version)
    if version_id is None:
        raise UserError(f"{endpoint.name}: says that version {package.version} is there already, and does not show it")
    return Uploaded(pipeline_id, version_id, is_new=made is not None)


def start(endpoint: Endpoint, package: Package, uploaded: Uploaded, experiment: str, service_account: str) -> str:
    """Start a run of a version; its id.

    Raises:
        UserError: the endpoint refuses it or was lost: then a run may or may not have been started.
    """
    body = kfp_server_api.V2beta1Run(
        display_name=f"{package.name} {package.version}",
        description=package.description,
        experiment_id=experiment_id(endpoint, experiment),
        pipeline_version_reference=uploaded.reference(),
        service_account=service_account,
    )
    made = endpoint.tell(lambda client: client.runs.run_service_create_run(run=body, **LIMIT))
    if made is None:
        raise UserError(f"{endpoint.name}: says that this run is there already; look at its list of runs")
    run_id: str = made.run_id
    return run_id


def experiment_id(endpoint: Endpoint, name: str) -> str:
    """Id of the experiment of a name; it is made where there is none."""
    found = _experiment(endpoint, name)
    if found is None:
        body = kfp_server_api.V2beta1Experiment(display_name=name, namespace=endpoint.namespace)
        made = endpoint.tell(
            lambda client: client.experiments.experiment_service_create_experiment(experiment=body, **LIMIT)
        )
        found = made.experiment_id if made is not None else _experiment(endpoint, name)
    if found is None:
        raise UserError(f"{endpoint.name}: says that experiment {name} is there already, and does not show it")
    return found


def named(name: str) -> str:
    """KFP's filter for things of a name, as its own client writes it (1 is EQUALS)."""
    return json.dumps({"predicates": [{"operation": 1, "key": "display_name", "stringValue": name}]})


def _experiment(endpoint: Endpoint, name: str) -> str | None:
    answer = endpoint.ask(
        lambda client: client.experiments.experiment_service_list_experiments(
            filter=named(name), namespace=endpoint.namespace, **LIMIT
        )
    )
    return next((found.experiment_id for found in answer.experiments or [] if found.display_name == name), None)


def _pipeline(endpoint: Endpoint, package: Package) -> str:
    found = _pipeline_named(endpoint, package.name)
    if found is None:
        body = kfp_server_api.V2beta1Pipeline(
            name=package.name,
            display_name=package.name,
            description=package.description,
            namespace=endpoint.namespace,
        )
        made = endpoint.tell(lambda client: client.pipelines.pipeline_service_create_pipeline(pipeline=body, **LIMIT))
        found = made.pipeline_id if made is not None else _pipeline_named(endpoint, package.name)
    if found is None:
        raise UserError(f"{endpoint.name}: says that pipeline {package.name} is there already, and does not show it")
    return found


def _pipeline_named(endpoint: Endpoint, name: str) -> str | None:
    answer = endpoint.ask(
        lambda client: client.pipelines.pipeline_service_list_pipelines(
            filter=named(name), namespace=endpoint.namespace, **LIMIT
        )
    )
    return next((found.pipeline_id for found in answer.pipelines or [] if name in _names(found)), None)


def _version(endpoint: Endpoint, pipeline_id: str, version: str) -> str | None:
    answer = endpoint.ask(
        lambda client: client.pipelines.pipeline_service_list_pipeline_versions(
            pipeline_id, filter=named(version), **LIMIT
        )
    )
    versions = answer.pipeline_versions or []
    return next((found.pipeline_version_id for found in versions if version in _names(found)), None)


def _names(found: Any) -> tuple[str | None, str | None]:
    """Name and display name: servers before KFP 2.5 know the second alone."""
    return found.name, found.display_name
