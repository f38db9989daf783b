"""Checks of everything between here and the registry of one image: its servers in order, credentials, manifest, ranges."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

import trio

from estargz.errors import EstargzError
from estargz.image_selection import choose_platform
from estargz.toc import TOC_DIGEST_ANNOTATION
from registry.client import RegistryClient
from registry.endpoints import Capability, Endpoint
from registry.errors import ContentError, HostsError, NotFoundError, RegistryError
from registry.exchange import Knock
from registry.host_lookup import EndpointSource, FixedEndpoints
from registry.keychain.credentials import CredentialQuestion
from registry.keychain.secret_watch import SecretWatch
from registry.manifest import Descriptor, Index, Manifest, parse_manifest
from registry.reference import Reference
from registry.settings import ClientSettings
from snapshotter.commands.doctor_checks import Finding, Report
from snapshotter.commands.image_options import host_platform

_SHORT: Final = 19
_FAILURES: Final = {
    "reach": "cannot be reached",
    "manifest": "does not give the manifest",
    "range": "does not give a part of a layer",
}


def check_registry(reference: Reference, settings: ClientSettings, report: Report) -> None:
    """Reports on every server an image may come from. A ``Check``, once image and settings are given."""
    # Nobody who asks for a diagnosis wants to wait for second attempts, and each of them may be told.
    trio.run(_Diagnosis(reference, replace(settings, attempts=1), report).run)


class _Diagnosis:
    """One image's; what is found at one server is looked for at the next."""

    def __init__(self, reference: Reference, settings: ClientSettings, report: Report) -> None:
        self._reference = reference
        self._settings = settings
        self._report = report
        self._manifest: Manifest | None = None

    async def run(self) -> None:
        registry = self._reference.host
        async with self._client() as client:
            try:
                known = await client.hosts.look_up(registry)
            except HostsError as error:
                advice = "repair it: the registry is not asked for anything until then"
                where = f"{error.path}: {error.key}" if error.key else str(error.path)
                self._report(Finding.problem("hosts", f"{where}: {error.reason}", advice=advice))
                return
            where = f"settings in {known.directory}" if known.directory else "no settings"
            count = f"{len(known.endpoints)} server{'s' * (len(known.endpoints) != 1)}"
            self._report(Finding.ok("hosts", f"{registry}: {where}, {count}"))
            for key in known.unknown_keys:
                what = f"{known.directory}: {key} means nothing here"
                self._report(Finding.note("hosts", what))
            for endpoint in known.endpoints:
                await self._check_endpoint(client, endpoint)
        self._check_laziness()

    @asynccontextmanager
    async def _client(self, hosts: EndpointSource | None = None) -> AsyncIterator[RegistryClient]:
        """One that knows the image pull secrets too, as the daemon's does."""
        async with (
            RegistryClient(self._settings, hosts=hosts) as client,
            SecretWatch(client.kubernetes_secrets) as watch,
        ):
            watch.use(self._settings.credentials)
            yield client

    async def _check_endpoint(self, client: RegistryClient, endpoint: Endpoint) -> None:
        subject = endpoint.base_url
        try:
            knock = await client.knock(endpoint)
        except ContentError as error:
            self._report(_failure("reach", error, subject=subject))
            return
        self._report(Finding.ok("reach", _describe_answer(endpoint, knock), subject=subject))
        await self._check_credentials(client, endpoint)
        if Capability.PULL not in endpoint.capabilities:
            self._report(Finding.note("manifest", "is not used for pulls", subject=subject))
            return
        async with self._client(FixedEndpoints(endpoint)) as single:
            manifest = await self._check_manifest(single, endpoint)
            if manifest is not None:
                self._manifest = manifest
                await self._check_range(single, endpoint, manifest)

    async def _check_credentials(self, client: RegistryClient, endpoint: Endpoint) -> None:
        question = CredentialQuestion(endpoint.login, self._reference.repository_name)
        reports = await trio.to_thread.run_sync(client.credentials.report, question)
        for problem in (problem for entry in reports for problem in entry.problems):
            what = f"{problem.source} is passed over: {problem.reason}"
            self._report(
                Finding.problem("credentials", what, advice=problem.advice, subject=endpoint.login)
            )
        origins = [origin for entry in reports for origin in entry.origins]
        if origins:
            others = f" (then {', '.join(origins[1:])})" if origins[1:] else ""
            what = f"from {origins[0]}{others}"
            self._report(Finding.ok("credentials", what, subject=endpoint.login))
        else:
            what = "none: only what everybody may read"
            self._report(Finding.note("credentials", what, subject=endpoint.login))

    async def _check_manifest(self, client: RegistryClient, endpoint: Endpoint) -> Manifest | None:
        subject, repository = endpoint.base_url, self._reference.repository_name
        wanted = self._reference.digest or self._reference.tag or ""
        if isinstance(wanted, str) and Capability.RESOLVE not in endpoint.capabilities:
            self._report(Finding.note("manifest", "is not asked for tags", subject=subject))
            return self._manifest
        try:
            raw = await client.fetch_manifest(repository, wanted)
            what = f"{self._reference} is {raw.digest}"
            manifest = parse_manifest(raw.data, media_type=raw.media_type)
            if isinstance(manifest, Index):
                child = choose_platform(manifest.manifests, [host_platform()])
                raw = await client.fetch_manifest(repository, child.digest)
                manifest = parse_manifest(raw.data, media_type=raw.media_type)
        except NotFoundError as error:
            if not endpoint.is_mirror:
                self._report(_failure("manifest", error, subject=subject))
            else:
                what = "does not have the image; another server is asked then"
                self._report(Finding.note("manifest", what, subject=subject))
            return None
        except (ContentError, EstargzError) as error:
            self._report(_failure("manifest", error, subject=subject))
            return None
        self._report(Finding.ok("manifest", what, subject=subject))
        return manifest if isinstance(manifest, Manifest) else None

    async def _check_range(
        self, client: RegistryClient, endpoint: Endpoint, manifest: Manifest
    ) -> None:
        if not manifest.layers:
            return
        subject, repository = endpoint.base_url, self._reference.repository_name
        # A server that ignores ranges is found out by what is too large to be read through.
        layer = max(manifest.layers, key=lambda layer: layer.size)
        name = f"layer {str(layer.digest)[:_SHORT]}"
        before = client.statistics().bytes_received
        try:
            await client.read_tail(repository, layer.digest, length=1)
        except ContentError as error:
            self._report(_failure("range", error, subject=subject))
            return
        received = client.statistics().bytes_received - before
        if received > 1 and received >= layer.size:
            what = f"the end of {name} came with all of it: the server ignores ranges"
            advice = "use another registry or mirror: here nothing can be lazy"
            self._report(Finding.problem("range", what, advice=advice, subject=subject))
        else:
            self._report(Finding.ok("range", f"the end of {name} can be read", subject=subject))

    def _check_laziness(self) -> None:
        if self._manifest is None:
            return
        layers = self._manifest.layers
        lazy = sum(map(_is_annotated, layers))
        what = f"{lazy} of {len(layers)} layers have a table of contents"
        if lazy == len(layers):
            self._report(Finding.ok("lazy", what))
        else:
            advice = "convert the image: pyestargz convert"
            self._report(Finding.problem("lazy", what, advice=advice))


def _is_annotated(layer: Descriptor) -> bool:
    return TOC_DIGEST_ANNOTATION in layer.annotations


def _failure(check: str, error: Exception, *, subject: str) -> Finding:
    if isinstance(error, RegistryError):
        what = f"{_FAILURES[check]}: {error.said() or 'no details'}"
        return Finding.problem(check, what, advice=error.advice_text(), subject=subject)
    what = f"{_FAILURES[check]}: {error}"
    advice = "look at what the image's author pushed"
    return Finding.problem(check, what, advice=advice, subject=subject)


def _describe_answer(endpoint: Endpoint, knock: Knock) -> str:
    """How a server was reached, and what it wants."""
    how = ["answers"]
    if endpoint.base_url.startswith("http:"):
        how.append("without TLS")
    elif not endpoint.connection.verify:
        how.append("unverified (skip_verify)")
    if knock.proxy:
        how.append(f"through the proxy {knock.proxy}")
    match knock.scheme:
        case "bearer":
            wants = f"wants a token from {knock.realm}"
        case "basic":
            wants = "wants a password"
        case _:
            wants = f"wants no credentials (HTTP {knock.status})"
    return f"{' '.join(how)}, and {wants}"
