import type { Agent } from "../../src/agents/agent.ts";
import type { AgentCatalog } from "../../src/agents/catalog.ts";

/** A machine that has these agents: the first is the default. */
export function catalogOf(first: Agent, ...others: readonly Agent[]): AgentCatalog {
  const agents = new Map([first, ...others].map((one) => [one.name, one]));
  return {
    defaultName: first.name as AgentCatalog["defaultName"],
    why: "",
    missing: undefined,
    whyDemo: null,
    get: (name) => agents.get(name),
    list: () =>
      [...agents.values()].map((one) => ({
        ...{ name: one.name, title: one.name, version: "1.0", available: true, reason: null },
        ...{ models: [], modes: one.modes, steering: one.steers, maxTurns: one.limitsTurns },
        ...{ memory: "files", default: one === first, modelApi: null },
      })),
    available: () => [...agents.keys()],
    findVersions: async () => undefined,
  };
}
