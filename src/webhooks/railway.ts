import type { Logger } from "../observability/logger.ts";
import { messageOf } from "../shared/errors.ts";
import type { Secret } from "../shared/secret.ts";

export interface RailwayConfig {
  apiUrl: string;
  apiKey: Secret;
  deploymentId: string;
}

const TIMEOUT_MS = 15_000;
const MUTATION = "mutation deploymentRedeploy($id: String!) { deploymentRedeploy(id: $id) { id } }";

/**
 * Asks Railway to redeploy, which resets a returned sandbox. Never rejects: a failure is logged, since whoever returned
 * the sandbox can do nothing about it.
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
    if (!reply.ok) throw new Error(`Railway answered ${reply.status}`);
    // GraphQL reports errors with status 200.
    const { errors } = (await reply.json()) as { errors?: { message?: string }[] };
    if (errors?.length)
      throw new Error(`Railway refused: ${errors.map(({ message }) => message).join("; ")}`);
    logger.info("Railway redeploy requested", { deployment: deploymentId });
  } catch (error) {
    logger.warn("Railway redeploy failed", { deployment: deploymentId, error: messageOf(error) });
  }
}
