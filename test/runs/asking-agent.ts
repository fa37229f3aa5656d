import type { Agent } from "../../src/agents/agent.ts";

/** A shell command that asks the model of an agent, and fails if it does not answer. */
export const askModel = (maxTokens: number): string =>
  `curl -sf -o /dev/null -H "x-api-key: $ANTHROPIC_API_KEY" -d '{"model":"claude-haiku-4-5","max_tokens":${maxTokens}}' "$ANTHROPIC_BASE_URL/v1/messages"`;

/** The agent, with access to the model. */
export const asking = (agent: Agent): Agent => ({
  ...agent,
  modelApi: "anthropic",
  command(request) {
    const command = agent.command(request);
    const { baseUrl = "", token = "" } = request.model ?? {};
    const env = { ...command.env, ANTHROPIC_BASE_URL: baseUrl, ANTHROPIC_API_KEY: token, NO_PROXY: "*" };
    return { ...command, env };
  },
});
