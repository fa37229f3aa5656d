/** auto: the agent decides by itself. ask: it asks the user before it does what could do harm. */
export const RUN_MODES = ["auto", "ask"] as const;
export type RunMode = (typeof RUN_MODES)[number];
/** Whose API an agent speaks to its model. */
export const MODEL_APIS = ["anthropic", "openai", "google"] as const;
export type ModelApi = (typeof MODEL_APIS)[number];
/** The agents that are there without being declared: AGENT may name them. */
export const AGENT_NAMES = ["claude", "command", "demo"] as const;
export type AgentName = (typeof AGENT_NAMES)[number];
