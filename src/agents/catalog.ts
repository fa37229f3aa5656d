import { basename } from "node:path";
import type { AgentMemoryKind, ModelApi, RunMode } from "../db/columns.ts";
import { AGENT_NAMES, type Agent, type AgentName } from "./agent.ts";
import { type AgentConfig, chooseAgent } from "./choose.ts";
import { declaredAgents } from "./declared.ts";
import { findProgram } from "./find-program.ts";
import { MODEL_API_STYLES } from "./model-apis.ts";
import { programVersion } from "./program-version.ts";

/** An agent, as operators and users see it. */
export interface CatalogEntry {
  name: string;
  title: string;
  /** Null: it is not known, or not yet. */
  version: string | null;
  /** Whether this machine can run it now. */
  available: boolean;
  /** Why not, and what to install or set: a sentence. Null: it is available. */
  reason: string | null;
  /** Those that may be chosen. None: any that its API has. */
  models: readonly string[];
  modes: readonly RunMode[];
  /** Whether it takes messages while it works. */
  steering: boolean;
  /** Whether it keeps to a limit of turns. */
  maxTurns: boolean;
  memory: AgentMemoryKind;
  /** Whether it works on the prompts that name none. */
  default: boolean;
  /** Whose API it speaks to its model. Null: it needs no model. */
  modelApi: ModelApi | null;
}

/** The agents that this machine has, or would have with what it lacks. */
export interface AgentCatalog {
  /** Of the agent that works on the prompts that name none. */
  readonly defaultName: AgentName;
  /** For the log at start-up: why that one. */
  readonly why: string;
  /** For the log: why its program cannot be run. Undefined: it can. */
  readonly missing: string | undefined;
  /** Why it is the demo, the part of a sentence, which everybody may read. Null: it is not. */
  readonly whyDemo: string | null;
  /** Undefined: there is no such agent. One whose program is missing is there, and fails when it is started. */
  get(name: string): Agent | undefined;
  /** All of them, the default first. Looks for their programs. */
  list(): CatalogEntry[];
  /** Those that could be run when they were listed last. */
  available(): readonly string[];
  /** Asks the programs that are there for their versions, which are listed from then on. Never throws. */
  findVersions(signal: AbortSignal): Promise<void>;
}

/** How an agent is listed; what is asked anew each time is a function. */
interface Known {
  agent: Agent;
  title: string;
  models: readonly string[];
  memory: AgentMemoryKind;
  modelApi: ModelApi | null;
  /** Why its program cannot be run, a sentence. */
  missing: () => string | undefined;
  /** The program to ask for its version; undefined: it has none, or nobody knows what it would do. */
  versioned: string | undefined;
}

const BUILT_IN = {
  claude: { title: "Claude Code", memory: "transcript" },
  command: { title: "Command", memory: "files" },
  demo: { title: "Demo", memory: "none" },
} as const;
/** Their version would say nothing of the agent that they start. */
const LAUNCHERS =
  /^(?:npx|npm|pnpm|yarn|bunx?|node|deno|uvx?|python[\d.]*|(?:ba|da|z)?sh|env|docker|podman)$/;

/**
 * Claude Code, the operator's program if AGENT_COMMAND names one, the demo, and those that are declared. AGENT, or what
 * `chooseAgent` finds, is the default.
 */
export function createAgentCatalog(options: {
  config: AgentConfig;
  /** Of this program, and so of the demo. Default: unknown. */
  version?: string;
}): AgentCatalog {
  const { config, version } = options;
  const chosen = chooseAgent({ config });
  const defaultName = AGENT_NAMES.find((name) => name === chosen.agent.name) ?? "demo";
  const keys: Record<ModelApi, unknown> = {
    anthropic: config.anthropicApiKey,
    openai: config.openaiApiKey,
    google: config.geminiApiKey,
  };
  const known = new Map<string, Known>();
  for (const name of AGENT_NAMES)
    if (name !== "command" || config.agentCommand) known.set(name, builtIn(name, config));
  for (const one of declaredAgents({ declared: config.declaredAgents ?? [], path: config.path }))
    known.set(one.about.name, ofDeclared(one));
  const versions = new Map<string, string>(version === undefined ? [] : [["demo", version]]);
  let available: readonly string[] = [];

  const entryOf = (name: string, one: Known): CatalogEntry => {
    const { agent, title, models, memory, modelApi } = one;
    const keyless =
      modelApi && !keys[modelApi]
        ? `${title} needs access to a model: set ${MODEL_API_STYLES[modelApi].keyName}.`
        : null;
    const local = agent.onlyLocal && config.sandboxProvider === "allocator" ? notBorrowed(title) : undefined;
    const reason = local ?? one.missing() ?? keyless;
    return {
      ...{ name, title, version: versions.get(name) ?? null },
      ...{ available: reason === null, reason, models, modes: agent.modes },
      ...{ steering: agent.steers, maxTurns: agent.limitsTurns, memory },
      ...{ default: name === defaultName, modelApi },
    };
  };
  const list = () => {
    const entries = [...known].map(([name, one]) => entryOf(name, one));
    available = entries.filter((one) => one.available).map(({ name }) => name);
    return entries.sort((a, b) => Number(b.default) - Number(a.default));
  };
  list();

  return {
    defaultName,
    why: chosen.why,
    missing: chosen.missing,
    whyDemo: chosen.whyDemo,
    get: (name) => known.get(name)?.agent,
    list,
    available: () => available,
    async findVersions(signal) {
      // One after the other: some of them need as much memory for that as for a run.
      for (const [name, { versioned }] of known) {
        const program = versioned === undefined ? undefined : findProgram(versioned, config.path);
        if (!program || signal.aborted) continue;
        const found = await programVersion(program.path, config.path, signal).catch(() => undefined);
        if (found !== undefined) versions.set(name, found);
      }
    },
  };
}

/** Why an agent that is only for checkouts on its machine cannot run. */
export const notBorrowed = (title: string): string =>
  `${title} works in sandboxes of this service's machines only, and not in borrowed ones (SANDBOX_PROVIDER=allocator): choose another agent.`;

function builtIn(name: AgentName, config: AgentConfig): Known {
  const choose = () => chooseAgent({ config: { ...config, agent: name } });
  const { agent } = choose();
  const [command] = config.agentCommand ?? [];
  const { title, memory } = BUILT_IN[name];
  return {
    ...{ agent, memory, models: [] },
    title: name === "command" && command !== undefined ? basename(command) : title,
    // The operator's program does without, if there is no key.
    modelApi: agent.modelApi ?? null,
    missing: () => choose().missing,
    versioned: name === "claude" ? (config.claudePath ?? "claude") : undefined,
  };
}

function ofDeclared({ about, agent, missing }: ReturnType<typeof declaredAgents>[number]): Known {
  const { title, models, protocol } = about;
  const [program] = about.command;
  return {
    ...{ agent, title, models, missing },
    modelApi: agent.modelApi ?? null,
    memory: protocol === "lines" ? "files" : "transcript",
    versioned: protocol === "lines" || LAUNCHERS.test(basename(program)) ? undefined : program,
  };
}
