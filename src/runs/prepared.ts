import { textEvent } from "../agents/events.ts";
import type { ClaimedRun } from "../lifecycle/start-run.ts";
import type { Redactor } from "../projects/redact.ts";
import type { RunProject } from "../projects/run-project.ts";
import { type Look, NotIsolated, NotPrepared, type Preparation, type Sandbox } from "../sandboxes/sandbox.ts";
import { messageOf } from "../shared/errors.ts";
import type { PrepareDeps } from "./agent-run.ts";
import { AgentKilled, MAX_ATTEMPTS } from "./failures.ts";
import { decisive } from "./prepared-key.ts";
import type { RunGateway } from "./run-gateway.ts";
import { setUp } from "./set-up.ts";
import type { RunWriter } from "./writer.ts";

/** Of what was looked at before: the longest value of a secret may begin there, in a longer form. */
const OVERLAP = 96 * 1024;

type Options = { run: ClaimedRun; project: RunProject; gateway: RunGateway; signal: AbortSignal };

/**
 * Sets up a new checkout as its project says: by what an earlier setup has left under the same conditions, where that is kept, or
 * by the command, whose result is then kept. Nothing of keeping can make a run fail.
 * @throws as setUp; AgentKilled: what was kept could not be restored, and is not kept any more.
 */
export async function prepareCheckout(
  deps: PrepareDeps,
  writer: RunWriter,
  sandbox: Sandbox,
  options: Options,
): Promise<void> {
  const { preparation } = sandbox;
  const { project, signal } = options;
  const looked =
    preparation && project.setupCommand !== "" ? await lookAt(deps, preparation, options) : undefined;
  if (!preparation || !looked) return setUp(deps, writer, sandbox, options);
  const { before, keys } = looked;
  const count = async (outcome: Parameters<PrepareDeps["metrics"]["preparedCheckout"]>[0]) =>
    deps.metrics.preparedCheckout(outcome, await preparation.bytes());
  // The last attempt relies on nothing that may be why the others have failed.
  const used = options.run.attempt < MAX_ATTEMPTS ? keys.used : [];
  for (const key of used) {
    const found = await preparation.find(key).catch((error: unknown) => {
      deps.logger.warn("a prepared checkout could not be read", { error: messageOf(error) });
    });
    if (!found) continue;
    try {
      await preparation.restore(found, { before, signal });
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof NotIsolated) throw error;
      deps.logger.warn("a prepared checkout could not be restored", { error: messageOf(error) });
      await preparation.remove(key).catch((failure: unknown) => {
        deps.logger.warn("a prepared checkout could not be removed", { error: messageOf(failure) });
      });
      throw new AgentKilled(
        "What the project's setup command had left for later runs could not be restored; it runs again.",
      );
    }
    const when = found.madeAt.toISOString();
    await writer.append([
      textEvent(`Setup skipped: its result was kept from ${when}, lock files unchanged.`),
    ]);
    await count("hit");
    return;
  }
  await count("miss");
  await setUp(deps, writer, sandbox, options);
  const refusal = await keep(deps, preparation, { ...options, before, key: keys.kept });
  await count(refusal === undefined ? "kept" : "refused");
  if (refusal === undefined) return;
  const said = `The result of the setup command is not kept for later runs: ${refusal}.`;
  await writer.append([textEvent(project.redactor?.text(said) ?? said)]);
}

/** Undefined: nothing can be kept or restored here. */
async function lookAt(
  deps: PrepareDeps,
  preparation: Preparation,
  options: Options,
): Promise<{ before: Look; keys: ReturnType<typeof keysOf> } | undefined> {
  const { signal } = options;
  try {
    const before = await preparation.look(signal);
    // What setup changes could not be told from that.
    if (before.changed.length > 0) return undefined;
    return { before, keys: keysOf(deps, preparation, options, before) };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof NotIsolated) throw error;
    deps.logger.warn(
      "checkouts cannot be kept prepared: GNU find, tar and coreutils are needed, and a DATA_DIR that can be written",
      { error: messageOf(error) },
    );
    return undefined;
  }
}

/**
 * A snapshot of a checkout of the target branch is for all sessions with that target. That of a session's own branch, where an
 * agent may have changed what setup runs, is for that session alone.
 */
function keysOf(
  { sandboxes }: PrepareDeps,
  preparation: Preparation,
  { run, project }: Options,
  before: Look,
): { kept: string; used: readonly string[] } {
  const { id, setupCommand, env, egress } = project;
  const same = {
    ...{ userId: run.userId, project: id, setupCommand, egress },
    env: Object.entries(env).sort(([a], [b]) => (a < b ? -1 : 1)),
    isolated: sandboxes.isolation.isolated,
    files: decisive(before.index, setupCommand),
  };
  const keyFor = (scope: Record<string, string>) => preparation.keyOf({ ...same, scope });
  const shared = keyFor({ target: run.targetBranch });
  if (before.head === before.target) return { kept: shared, used: [shared] };
  const own = keyFor({ session: run.sessionId });
  return { kept: own, used: [own, shared] };
}

/** @returns why it was not kept, the end of a sentence. @throws what `signal` aborted with. */
async function keep(
  { sandboxes, limits, logger }: PrepareDeps,
  preparation: Preparation,
  { project, signal, before, key }: Options & { before: Look; key: string },
): Promise<string | undefined> {
  try {
    const maxBytes = (await sandboxes.freeBytes()) - limits.minFreeBytes;
    if (maxBytes <= 0) return "the disk of the machine is nearly full";
    const see = refuseSecrets(project.redactor);
    await preparation.keep(key, { before, maxBytes, project: project.id, see, signal });
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof NotPrepared) return error.message;
    logger.warn("a prepared checkout could not be kept", { error: messageOf(error) });
    return "the machine could not store it";
  }
}

/** Secrets are stored sealed, or not at all. */
function refuseSecrets(redactor: Redactor | undefined): (chunk: Buffer) => void {
  if (!redactor) return () => undefined;
  let rest = "";
  return (chunk) => {
    const text = rest + chunk.toString("latin1");
    const names = redactor.names(text);
    if (names.length > 0) throw new NotPrepared(`it has secrets of the project in it (${names.join(", ")})`);
    rest = text.slice(-OVERLAP);
  };
}
