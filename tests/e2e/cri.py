"""A client of Kubernetes' container runtime interface: what kubelet asks of containerd, from Python."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import grpc
from google.protobuf.message import Message

from tests.e2e.ctr import new_container_id
from tests.e2e.proto import cri_pb2 as cri

_DEADLINE_SECONDS = 60.0
_STOP_GRACE_SECONDS = 2
_NODE_NETWORK = cri.NamespaceOption(network=cri.NODE)

_Answer = TypeVar("_Answer", bound=Message)


@dataclass(frozen=True, slots=True)
class ExecResult:
    """How a command inside a container ended."""

    stdout: str
    stderr: str
    exit_code: int


@dataclass(frozen=True, slots=True)
class Pod:
    """A running pod sandbox and what it was made with."""

    sandbox_id: str
    config: cri.PodSandboxConfig


class Cri:
    """Pulls images and runs pods over a containerd's socket; a context manager that removes its pods.

    Pods use the network of the host, so that no network plugin is needed. Every call has a deadline; failures are `grpc.RpcError`.
    """

    def __init__(self, socket: Path) -> None:
        self._channel = grpc.insecure_channel(f"unix:{socket}")
        self._pods: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            for sandbox_id in self._pods:
                self._stop_pod(sandbox_id)
        finally:
            self._channel.close()

    def version(self) -> str:
        """Return the runtime's name and version."""
        answer = self._runtime("Version", cri.VersionRequest(), cri.VersionResponse)
        return f"{answer.runtime_name} {answer.runtime_version}"

    def pull(self, image: str, *, auth: cri.AuthConfig | None = None) -> str:
        """Pull and unpack an image, with credentials as a pod's image pull secret has them; return its id."""
        request = cri.PullImageRequest(image=cri.ImageSpec(image=image), auth=auth)
        return self._images("PullImage", request, cri.PullImageResponse).image_ref

    def image_bytes(self, image: str) -> int | None:
        """Return the size the runtime states for an image, or None if it does not have it."""
        request = cri.ImageStatusRequest(image=cri.ImageSpec(image=image))
        answer = self._images("ImageStatus", request, cri.ImageStatusResponse)
        return answer.image.size if answer.HasField("image") else None

    def remove_image(self, image: str) -> None:
        """Remove an image."""
        request = cri.RemoveImageRequest(image=cri.ImageSpec(image=image))
        self._images("RemoveImage", request, cri.RemoveImageResponse)

    def run_pod(self) -> Pod:
        """Start an empty pod."""
        name = new_container_id("pod")
        config = cri.PodSandboxConfig(
            metadata=cri.PodSandboxMetadata(name=name, uid=name, namespace="default"),
            linux=cri.LinuxPodSandboxConfig(
                security_context=cri.LinuxSandboxSecurityContext(namespace_options=_NODE_NETWORK)
            ),
        )
        request = cri.RunPodSandboxRequest(config=config)
        answer = self._runtime("RunPodSandbox", request, cri.RunPodSandboxResponse)
        self._pods.append(answer.pod_sandbox_id)
        return Pod(answer.pod_sandbox_id, config)

    def run_container(self, pod: Pod, image: str, command: Sequence[str]) -> str:
        """Create and start a container; return its id."""
        security = cri.LinuxContainerSecurityContext(namespace_options=_NODE_NETWORK)
        request = cri.CreateContainerRequest(
            pod_sandbox_id=pod.sandbox_id,
            sandbox_config=pod.config,
            config=cri.ContainerConfig(
                metadata=cri.ContainerMetadata(name=new_container_id("cri")),
                image=cri.ImageSpec(image=image),
                command=command,
                linux=cri.LinuxContainerConfig(security_context=security),
            ),
        )
        created = self._runtime("CreateContainer", request, cri.CreateContainerResponse)
        start = cri.StartContainerRequest(container_id=created.container_id)
        self._runtime("StartContainer", start, cri.StartContainerResponse)
        return created.container_id

    def container_status(self, container_id: str) -> cri.ContainerStatus:
        """Return what the runtime knows about a container."""
        request = cri.ContainerStatusRequest(container_id=container_id)
        return self._runtime("ContainerStatus", request, cri.ContainerStatusResponse).status

    def exec(self, container_id: str, command: Sequence[str]) -> ExecResult:
        """Run a command inside a container to its end."""
        timeout = int(_DEADLINE_SECONDS)
        request = cri.ExecSyncRequest(container_id=container_id, cmd=command, timeout=timeout)
        answer = self._runtime("ExecSync", request, cri.ExecSyncResponse)
        return ExecResult(answer.stdout.decode(), answer.stderr.decode(), answer.exit_code)

    def remove_container(self, container_id: str) -> None:
        """Stop and remove a container."""
        stop = cri.StopContainerRequest(container_id=container_id, timeout=_STOP_GRACE_SECONDS)
        self._runtime("StopContainer", stop, cri.StopContainerResponse)
        remove = cri.RemoveContainerRequest(container_id=container_id)
        self._runtime("RemoveContainer", remove, cri.RemoveContainerResponse)

    def _stop_pod(self, sandbox_id: str) -> None:
        stop = cri.StopPodSandboxRequest(pod_sandbox_id=sandbox_id)
        self._runtime("StopPodSandbox", stop, cri.StopPodSandboxResponse)
        remove = cri.RemovePodSandboxRequest(pod_sandbox_id=sandbox_id)
        self._runtime("RemovePodSandbox", remove, cri.RemovePodSandboxResponse)

    def _runtime(self, method: str, request: Message, answer: type[_Answer]) -> _Answer:
        return self._call(f"/runtime.v1.RuntimeService/{method}", request, answer)

    def _images(self, method: str, request: Message, answer: type[_Answer]) -> _Answer:
        return self._call(f"/runtime.v1.ImageService/{method}", request, answer)

    def _call(self, path: str, request: Message, answer: type[_Answer]) -> _Answer:
        call: grpc.UnaryUnaryMultiCallable[Message, _Answer] = self._channel.unary_unary(
            path,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        return call(request, timeout=_DEADLINE_SECONDS)
