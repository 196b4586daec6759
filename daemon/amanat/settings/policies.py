"""From the policy file to ``domain.policy.Configuration``, or all errors at once."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from amanat.domain.hooks import Hook, Hooks, Moment
from amanat.domain.model import EngineName, ProofLevel, Scope
from amanat.domain.policy import (
    Anchor,
    CodecName,
    Compression,
    Configuration,
    Database,
    DrillPlace,
    Drills,
    KeepRules,
    LaravelSource,
    Policy,
    PostgresqlSource,
    Rereading,
    Retry,
    Schedule,
    Secret,
    Source,
    SqliteSource,
    Warm,
    Window,
)
from amanat.domain.sql_check import SqlCheck, parse_expectation
from amanat.domain.units import parse_duration, parse_size
from amanat.settings import model_parts, models, proof_models, reasons, rollback_models, rules, strict_yaml
from amanat.settings.fields import OFF, parse_percent, parse_window
from amanat.settings.strict_yaml import Document, KeyPath, Problem

_HINT = "correct the file; `amanat config check` tells when it is right"


def load(path: Path) -> Configuration:
    """ConfigurationError with one line ``FILE:LINE: key.path: reason`` for each thing that is wrong."""
    document = strict_yaml.read(path)
    checked = _checked(document)
    idle = [document.problem(*finding) for finding in rules.idle(document.data)]
    return _configuration(checked, base_folder(path), strict_yaml.lines(document.file, idle))


def base_folder(path: Path) -> Path:
    """What a policy file's paths are relative to (documentation/decisions/0002-relative-paths.md)."""
    folder = path.absolute().parent
    return folder.parent if folder.name == "config" else folder


def schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) that editors complete and check a policy file with."""
    body = _strict_schema(models.PolicyFile.model_json_schema(by_alias=True))
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Amanat policies"}
    return {**body, **head}


def _strict_schema(node: Any) -> Any:
    """Without null (a key is given or absent) and without names that the patterns do not allow."""
    if isinstance(node, list):
        return [_strict_schema(inner) for inner in node]
    if not isinstance(node, dict):
        return node
    choices = [choice for choice in node.get("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) == 1:
        node = {**choices[0], **{k: v for k, v in node.items() if k != "anyOf"}}
    kept = {k: v for k, v in node.items() if not (k == "title" or (k == "default" and v is None))}
    closed = {"additionalProperties": False} if "patternProperties" in node else {}
    return {**{key: _strict_schema(value) for key, value in kept.items()}, **closed}


def _checked(document: Document) -> models.PolicyFile:
    found: dict[KeyPath, Problem] = {problem.path: problem for problem in document.problems}
    findings = list(rules.broken(document.data))
    parsed: models.PolicyFile | None = None
    try:
        parsed = models.PolicyFile.model_validate(document.data)
    except ValidationError as exc:
        findings += reasons.translate(exc, models.PolicyFile)
    for path, reason in findings:
        found.setdefault(path, document.problem(path, reason))
    if found or parsed is None:
        raise strict_yaml.failure(document.file, found.values(), _HINT)
    return parsed


def _configuration(file: models.PolicyFile, base: Path, warnings: Iterable[str]) -> Configuration:
    return Configuration(
        databases={name: _database(name, database, base) for name, database in file.databases.items()},
        policies={name: _policy(name, policy, base) for name, policy in file.policies.items()},
        warnings=tuple(warnings),
        anchor=_anchor(file.anchor, base) if file.anchor else None,
    )


def _anchor(anchor: models.AnchorModel, base: Path) -> Anchor:
    """A program with a slash in its name is a path, and relative as other paths of the file are."""
    program, *arguments = anchor.command
    found = str(base / program) if "/" in program else program
    return Anchor(command=(found, *arguments), timeout=parse_duration(anchor.timeout))


def _database(name: str, database: models.DatabaseModel, base: Path) -> Database:
    documents, application = database.documents, database.application or database.laravel
    return Database(
        name=name,
        environment=database.environment,
        engine=EngineName(database.engine) if database.engine else None,
        source=_source(database, base),
        register_document=base / documents.register_ if documents and documents.register_ else None,
        rollback_log=base / documents.rollback_log if documents and documents.rollback_log else None,
        application=base / application if application else None,
        hooks=_hooks(database.hooks) if database.hooks else {},
    )


def _hooks(hooks: rollback_models.HooksModel) -> Hooks:
    given = {moment: getattr(hooks, moment.value) or () for moment in Moment}
    return {
        moment: tuple(_hook(command) for command in commands) for moment, commands in given.items() if commands
    }


def _hook(command: list[str] | rollback_models.HookModel) -> Hook:
    if isinstance(command, list):
        return Hook(command=tuple(command))
    argv = tuple(command.run) if command.run else ("/bin/sh", "-c", command.shell or "")
    return Hook(command=argv, timeout=parse_duration(command.timeout))


def _source(database: models.DatabaseModel, base: Path) -> Source:
    client = base / database.client if database.client else None
    if database.path:
        return SqliteSource(path=base / database.path)
    if database.laravel:
        return LaravelSource(folder=base / database.laravel, connection=database.laravel_connection, client=client)
    parameters = database.connection or {"service": database.service or ""}
    return PostgresqlSource(parameters=parameters, password=_secret(database.password, base), client=client)


def _secret(secret: model_parts.SecretModel | None, base: Path) -> Secret | None:
    if secret is None:
        return None
    if secret.file:
        return Secret(kind="file", name=str(base / secret.file))
    if secret.credential:
        return Secret(kind="credential", name=secret.credential)
    return Secret(kind="env", name=secret.env or "")


def _policy(name: str, policy: models.PolicyModel, base: Path) -> Policy:
    return Policy(
        name=name,
        databases=tuple(policy.databases),
        schedule=_schedule(policy.schedule) if policy.schedule else None,
        scope=_scope(policy.scope) if policy.scope else Scope(),
        proof=ProofLevel(policy.proof),
        keep=_keep(policy.keep),
        file_name=policy.file_name,
        purpose_required=policy.purpose == "required",
        timeout=parse_duration(policy.timeout),
        retry=Retry(attempts=policy.retry.attempts, backoff=parse_duration(policy.retry.backoff)),
        globals=policy.globals_,
        compression=Compression(codec=CodecName(policy.compression.codec), level=policy.compression.level),
        parallel=policy.parallel,
        yield_after=None if policy.yield_after == OFF else parse_duration(policy.yield_after),
        drills=_drills(policy.drills) if policy.drills else None,
        drill_server=_drill_server(policy.drill_server, base) if policy.drill_server else None,
        rereading=_rereading(policy.verify) if policy.verify else None,
        checks=tuple(_check(check) for check in policy.checks or ()),
        counts=tuple(policy.facts.counts if policy.facts else ()),
        before_swap=tuple(_check(check) for check in policy.before_swap or ()),
        warm=_warm(policy.warm) if policy.warm else None,
        undo_window=parse_duration(policy.undo_window),
    )


def _warm(warm: rollback_models.WarmModel | Literal[True]) -> Warm:
    return Warm() if warm is True else Warm(min_free=parse_size(warm.min_free))


def _drills(drills: proof_models.DrillsModel) -> Drills:
    zone = drills.schedule.timezone
    windows = [parse_window(text) for text in drills.not_between or ()]
    return Drills(
        schedule=_schedule(drills.schedule),
        newest=drills.newest,
        sample=drills.sample,
        max_bytes=parse_size(drills.max_size) if drills.max_size else None,
        max_duration=parse_duration(drills.max_duration) if drills.max_duration else None,
        not_between=tuple(Window(begin=begin, end=end, zone=zone) for begin, end in windows),
    )


def _drill_server(server: proof_models.DrillServerModel, base: Path) -> PostgresqlSource | DrillPlace:
    if server.place:
        return DrillPlace(server.place)
    parameters = server.connection or {"service": server.service or ""}
    return PostgresqlSource(parameters=parameters, password=_secret(server.password, base))


def _rereading(verify: proof_models.RereadingModel) -> Rereading:
    return Rereading(schedule=_schedule(verify.schedule), percent=parse_percent(verify.read))


def _check(check: proof_models.CheckModel) -> SqlCheck:
    expect, timeout = parse_expectation(check.expect), parse_duration(check.timeout)
    return SqlCheck(sql=check.sql, expect=expect, timeout=timeout)


def _schedule(schedule: model_parts.ScheduleModel) -> Schedule:
    return Schedule(
        cron=schedule.cron,
        timezone=schedule.timezone,
        catch_up=parse_duration(schedule.catch_up),
        jitter=parse_duration(schedule.jitter),
    )


def _scope(scope: models.ScopeModel) -> Scope:
    return Scope(
        tables=tuple(scope.tables or ()),
        exclude=tuple(scope.exclude or ()),
        exclude_data=tuple(scope.exclude_data or ()),
    )


def _keep(keep: models.KeepModel) -> KeepRules:
    counts = keep.model_dump(exclude_none=True, exclude={"within", "max_bytes"})
    return KeepRules(
        **counts,
        within=parse_duration(keep.within) if keep.within else None,
        max_bytes=parse_size(keep.max_bytes) if keep.max_bytes else None,
    )
