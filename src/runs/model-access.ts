import { readFile, writeFile } from "node:fs/promises";
import { openModelProxy } from "../agents/model-proxy.ts";
import type { Logger } from "../observability/logger.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import { messageOf } from "../shared/errors.ts";
import type { Secret } from "../shared/secret.ts";

/** A run's access to the model, through a proxy; the API key stays in this process. */
export interface ModelAccess {
  baseUrl: string;
  token: string;
  close(): Promise<void>;
}

export interface ModelSource {
  /** Base URL of the Messages API. */
  upstream: string;
  apiKey: Secret;
}

/**
 * Opens access to the model for one run. The port and token of the proxy are stored in the sandbox's folder, hidden from
 * the agent, so that the next runner can reopen the same access for an agent that still runs.
 */
export async function openModelAccess(
  source: ModelSource,
  options: { sandbox: Sandbox; runId: string; logger: Logger },
): Promise<ModelAccess> {
  const { sandbox, runId, logger } = options;
  const proxy = openModelProxy({ ...source, logger });
  const { token } = proxy.grant(runId);
  await writeFile(sandbox.notes, JSON.stringify({ port: proxy.port, token }), { mode: 0o600 });
  return { baseUrl: proxy.url, token, close: proxy.close };
}

/** Reopens the access of an earlier runner. @returns undefined if that fails: to the agent, the API is unavailable. */
export async function reopenModelAccess(
  source: ModelSource,
  options: { sandbox: Sandbox; runId: string; logger: Logger },
): Promise<ModelAccess | undefined> {
  const { sandbox, runId, logger } = options;
  try {
    const { port, token } = JSON.parse(await readFile(sandbox.notes, "utf8")) as {
      port: number;
      token: string;
    };
    const proxy = openModelProxy({ ...source, logger, port });
    proxy.grant(runId, token);
    return { baseUrl: proxy.url, token, close: proxy.close };
  } catch (error) {
    logger.warn("an agent's access to the model could not be reopened", { error: messageOf(error) });
    return undefined;
  }
}
