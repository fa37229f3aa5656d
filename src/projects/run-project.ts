import { AgentUnavailable } from "../agents/agent.ts";
import type { Config } from "../config/config.ts";
import type { Orm } from "../db/client.ts";
import { retryWhileUnavailable } from "../db/retry-while-unavailable.ts";
import type { Fence } from "../lifecycle/fence.ts";
import type { Metrics } from "../observability/metrics.ts";
import { repoRules } from "../sandboxes/git/repo-url.ts";
import type { EgressRule } from "../shared/egress-rule.ts";
import { AppError, OperatorError } from "../shared/errors.ts";
import { NANO } from "../spend/money.ts";
import { hostRules } from "./check.ts";
import { KeyMissing, openSecretKeys, SealBroken, type SecretKeys } from "./keys.ts";
import { createRedactor, type Redactor } from "./redact.ts";
import { repoKey } from "./repo-key.ts";
import { givenSecrets, readForRun, recordProject } from "./run-store.ts";
import type { ProjectRow } from "./store.ts";

/** What a run has of its repository's project, with the secrets opened. Never stored, logged or shown. */
export interface RunProject {
  id: string;
  instructions: string;
  setupCommand: string;
  /** Variables of the agent, secrets included. */
  env: Readonly<Record<string, string>>;
  egress: readonly EgressRule[];
  /** Undefined: none. */
  mcpServers: Readonly<Record<string, unknown>> | undefined;
  pullRequest: ProjectRow["pullRequest"];
  /** What a prompt may cost that names nothing, in billionths of a US dollar. Null: what the deployment allows. */
  budget: number | null;
  /** Undefined: there is nothing to replace. */
  redactor: Redactor | undefined;
}

/** It has no setup command, so that nothing is kept by its id. */
const NO_PROJECT = {
  id: "",
  instructions: "",
  setupCommand: "",
  env: {},
  egress: [],
  mcpServers: undefined,
  pullRequest: null,
  budget: null,
} satisfies Partial<RunProject>;

/**
 * Reads the project of a run's repository as it is now, and records which version of it the run has. What is replaced are the
 * values that its earlier runs were given, too: its agent may be one of theirs.
 * @throws AgentUnavailable: a secret cannot be opened. LeaseLost; what `signal` aborted with.
 */
export type ProjectOf = (
  run: Fence & { userId: string; repo: string },
  signal: AbortSignal,
) => Promise<RunProject | undefined>;

/** @param options.metrics counts what is replaced. */
export function openRunProjects(options: {
  orm: Orm;
  config: Config;
  metrics?: Pick<Metrics, "secretsRedacted"> | undefined;
}): ProjectOf {
  const { orm, config, metrics } = options;
  const rules = repoRules(config);
  const keys = openSecretKeys(config);
  return async (run, signal) => {
    const key = keyOrNone(run.repo, rules);
    const found =
      key === undefined
        ? undefined
        : await retryWhileUnavailable(signal, () => readForRun(orm, { userId: run.userId, repoKey: key }));
    // Also of a project that is gone, or is another repository's now: its agent may still run.
    const given =
      run.epoch > 1 ? await retryWhileUnavailable(signal, () => givenSecrets(orm, run.promptId)) : [];
    const earlier = given.map((one): [string, string] => [one.name, opened(keys, one.projectId, one)]);
    const used = found && {
      id: found.project.id,
      version: found.project.version,
      secrets: found.secrets,
    };
    await retryWhileUnavailable(signal, () => recordProject(orm, run, used));
    if (!found) {
      const redactor = createRedactor(earlier, metrics?.secretsRedacted);
      return redactor && { ...NO_PROJECT, redactor };
    }
    const { project } = found;
    const secrets = Object.fromEntries(found.secrets.map((one) => [one.name, opened(keys, project.id, one)]));
    const servers =
      Object.keys(project.mcpServers).length > 0 ? withSecrets(project.mcpServers, secrets) : undefined;
    return {
      id: project.id,
      instructions: project.instructions.trim(),
      setupCommand: project.setupCommand.trim(),
      env: { ...project.environment, ...secrets },
      egress: hostRules(project.egressHosts),
      mcpServers: servers as RunProject["mcpServers"],
      pullRequest: project.pullRequest,
      budget: project.budgetUsd === null ? null : Math.round(project.budgetUsd * NANO),
      redactor: createRedactor([...Object.entries(secrets), ...earlier], metrics?.secretsRedacted),
    };
  };
}

/** Undefined: the repository is refused today, which preparing its checkout says better. */
function keyOrNone(repo: string, rules: Parameters<typeof repoKey>[1]): string | undefined {
  try {
    return repoKey(repo, rules);
  } catch (error) {
    if (error instanceof AppError) return undefined;
    throw error;
  }
}

function opened(
  keys: SecretKeys,
  projectId: string,
  { name, sealed, keyId }: { name: string; sealed: Uint8Array; keyId: string },
): string {
  try {
    return keys.open({ projectId, name }, { sealed, keyId });
  } catch (error) {
    // Not again and again: it is for its operator, or its user, to mend.
    if (error instanceof KeyMissing || error instanceof SealBroken || error instanceof OperatorError)
      throw new AgentUnavailable(error.message, { cause: error });
    throw error;
  }
}

/** Replaces `${NAME}` in all texts by the secret of that name; what is no secret stays as it is. */
function withSecrets(value: unknown, secrets: Readonly<Record<string, string>>): unknown {
  if (typeof value === "string")
    return value.replace(/\$\{([A-Za-z_]\w*)\}/g, (whole, name: string) =>
      Object.hasOwn(secrets, name) ? (secrets[name] ?? whole) : whole,
    );
  if (Array.isArray(value)) return value.map((one) => withSecrets(one, secrets));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, withSecrets(one, secrets)]));
}
