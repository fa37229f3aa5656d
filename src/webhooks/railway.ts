import type { Logger } from "../observability/logger.ts";
import { messageOf } from "../shared/errors.ts";
import type { Secret } from "../shared/secret.ts";

export interface RailwayConfig {
  apiUrl: string;
  apiKey: Secret;
  deploymentId: string;
}

/** Milliseconds that the API may take. */
const TIMEOUT_MS = 15_000;
const MUTATION = "mutation deploymentRedeploy($id: String!) { deploymentRedeploy(id: $id) { id } }";

/**
 * Asks Railway to deploy again, which gives a returned sandbox a fresh start. Never rejects: whoever returned something
 * is not to blame when Railway is away; the log says so.
 */
export async function redeploy(
  { apiUrl, apiKey, deploymentId }: RailwayConfig,
  logger: Logger,
): Promise<void> {
  try {
    const reply = await fetch(apiUrl, {
      method: "POST",
      headers: { authorization: `Bearer ${apiKey.reveal()}`, "content-type": "application/json" },
      body: JSON.stringify({ query: MUTATION, variables: { id: deploymentId } }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (!reply.ok) throw new Error(`it answered ${reply.status}`);
    // GraphQL: what went wrong comes with status 200.
    const { errors } = (await reply.json()) as { errors?: { message?: string }[] };
    if (errors?.length) throw new Error(`it refused: ${errors.map(({ message }) => message).join("; ")}`);
    logger.info("Railway was asked to deploy again", { deployment: deploymentId });
  } catch (error) {
    logger.warn("Railway could not be asked to deploy again", {
      deployment: deploymentId,
      error: messageOf(error),
    });
  }
}
