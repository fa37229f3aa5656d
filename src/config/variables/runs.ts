import { AGENT_NAMES } from "../../shared/agent-kinds.ts";
import { MIB } from "../../shared/units.ts";
import { agentList } from "../agent-list.ts";
import { command, HTTP, integer, oneOf, secret, text, url } from "../parsers.ts";
import type { Rows } from "../rows.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

export const claude = {
  anthropicApiKey: {
    env: "ANTHROPIC_API_KEY",
    doc: "Key for the claude agent and for session titles. Sandboxes never see it.",
    parse: secret(),
    secret: true,
  },
  anthropicBaseUrl: {
    env: "ANTHROPIC_BASE_URL",
    default: "https://api.anthropic.com",
    doc: "Base URL of the Messages API.",
    parse: url(...HTTP),
  },
  openaiApiKey: {
    env: "OPENAI_API_KEY",
    doc: "Key for agents that speak OpenAI's API. Sandboxes never see it.",
    parse: secret(),
    secret: true,
  },
  openaiBaseUrl: {
    env: "OPENAI_BASE_URL",
    default: "https://api.openai.com/v1",
    doc: "Base URL of OpenAI's API (chat completions and responses), with its version, as clients of that API have it.",
    parse: url(...HTTP),
  },
  geminiApiKey: {
    env: "GEMINI_API_KEY",
    doc: "Key for agents that speak Google's Gemini API. Sandboxes never see it.",
    parse: secret(),
    secret: true,
  },
  geminiBaseUrl: {
    env: "GEMINI_BASE_URL",
    default: "https://generativelanguage.googleapis.com",
    doc: "Base URL of the Gemini API, without its version.",
    parse: url(...HTTP),
  },
  titleModel: {
    env: "TITLE_MODEL",
    default: "claude-haiku-4-5",
    doc: "Model that writes session titles (needs ANTHROPIC_API_KEY).",
    parse: text,
  },
} as const satisfies Rows;

export const agents = {
  /** Undefined: claude if its program and a key are available, otherwise demo. */
  agent: {
    env: "AGENT",
    doc: "claude, command or demo: the agent of prompts that name none. Unset: claude if its program and ANTHROPIC_API_KEY are available, otherwise demo.",
    parse: oneOf(...AGENT_NAMES),
  },
  agentCommand: {
    env: "AGENT_COMMAND",
    doc: 'Program and arguments of the agent "command", which AGENT or a prompt may name, as a JSON array: ["my-agent","--json"]. It reads the prompt from stdin.',
    parse: command,
  },
  /** Beside the built-in ones and the presets, which it may replace by name. */
  declaredAgents: {
    env: "AGENTS",
    doc: 'More agents, a JSON array: [{"name":"mine","title":"Mine","command":["my-agent","--acp"],"protocol":"acp"}]; protocol: claude, acp or lines. Optional: models, modes, steering and maxTurns (for lines: whether it takes messages, whether it keeps to AGENT_MAX_TURNS), modelApi (anthropic, openai, google), baseUrlEnv, keyEnv.',
    parse: agentList,
  },
  sandboxProvider: {
    env: "SANDBOX_PROVIDER",
    default: "local",
    doc: "local: sandboxes on this machine. allocator: sandboxes borrowed from IP_ALLOCATOR_URL.",
    parse: oneOf("local", "allocator"),
  },
  ipAllocatorUrl: {
    env: "IP_ALLOCATOR_URL",
    doc: "Base URL of the allocator, for SANDBOX_PROVIDER=allocator.",
    parse: url(...HTTP),
  },
  claudePath: {
    env: "CLAUDE_PATH",
    doc: "Path of the Claude Code program. Unset: `claude` on PATH.",
    parse: text,
  },
  claudeModel: {
    env: "CLAUDE_MODEL",
    doc: "Model of the claude agent. Unset: the program's default.",
    parse: text,
  },
} as const satisfies Rows;

export const runs = {
  workerConcurrency: {
    env: "WORKER_CONCURRENCY",
    default: "4",
    doc: "Prompts that one process runs at the same time (1 to 256).",
    parse: integer(1, 256),
  },
  maxRunning: {
    env: "MAX_RUNNING_PROMPTS",
    default: "1000",
    doc: "Prompts that the whole cluster runs at the same time (1 to 100000).",
    parse: integer(1, 100_000),
  },
  maxRunningPerUser: {
    env: "MAX_RUNNING_PER_USER",
    default: "20",
    doc: "Prompts of one user that the whole cluster runs at the same time (1 to 100000).",
    parse: integer(1, 100_000),
  },
  /** How long a prompt is held back for the machine that has its session warm, milliseconds. */
  affinityMs: {
    env: "AFFINITY_MS",
    default: "2000",
    doc: "How long a prompt waits for the machine that ran its session's last one (milliseconds, 0 to 60000). 0: not at all.",
    parse: integer(0, 60_000),
  },
  runLimits: {
    /** Wall-clock time of one run, milliseconds. */
    timeoutMs: {
      env: "RUN_TIMEOUT_MINUTES",
      default: "60",
      doc: "Wall-clock limit of a run; a run that exceeds it fails.",
      parse: integer(1, 10_080, MINUTE_MS),
    },
    /** Time without output and without CPU use, milliseconds; 0: no limit. */
    silenceMs: {
      env: "RUN_SILENCE_MINUTES",
      default: "15",
      doc: "A run whose agent neither prints nor uses the CPU for this long fails. 0: no limit.",
      parse: integer(0, 10_080, MINUTE_MS),
    },
    /** How long a question of an agent is open, milliseconds. */
    permissionTimeoutMs: {
      env: "PERMISSION_TIMEOUT_MINUTES",
      default: "60",
      doc: "What an agent asks its user is denied after this long without an answer. Meanwhile its run's time does not count.",
      parse: integer(1, 1_440, MINUTE_MS),
    },
    /** Free bytes that the disk of the checkouts needs for a run to start; below half of it, running agents are stopped. */
    minFreeBytes: {
      env: "MIN_FREE_DISK_MB",
      default: "512",
      doc: "No run starts with less free space in DATA_DIR; below half of it, runs are stopped and retried later. 0: no limit.",
      parse: integer(0, 10_000_000, MIB),
    },
    /** Bytes that all checkouts of this machine may have when another run starts; 0: no limit. */
    maxCheckoutBytes: {
      env: "CHECKOUT_DISK_MB",
      default: "0",
      doc: "No run starts while the checkouts in DATA_DIR take more space. 0: no limit.",
      parse: integer(0, 100_000_000, MIB),
    },
    /** How long a prompt waits for what does not answer, milliseconds since it first did not. */
    retryTransientMs: {
      env: "RETRY_TRANSIENT_HOURS",
      default: "6",
      doc: "How long a prompt is retried while something outside the service, such as the git host or the model, does not answer or is overloaded, and how long the return of a sandbox, before a dead letter is made (hours, 0 to 168). 0: not at all.",
      parse: integer(0, 168, HOUR_MS),
    },
    /** Events that one run may store. */
    maxEvents: {
      env: "RUN_MAX_EVENTS",
      default: "50000",
      doc: "Events that one run may store; a run that prints more, or ten times as many other JSON objects, fails.",
      parse: integer(100, 10_000_000),
    },
    /** Bytes of events that one run may store. */
    maxStoredBytes: {
      env: "RUN_MAX_STORED_MB",
      default: "256",
      doc: "Size of the events that one run may store; a run that prints more fails.",
      parse: integer(1, 1_000_000, MIB),
    },
    /** Bytes that one run may print: the quota of its journal. */
    maxOutputBytes: {
      env: "RUN_MAX_OUTPUT_MB",
      default: "1024",
      doc: "What one run may print, stored or not; a run that prints more fails.",
      parse: integer(1, 1_000_000, MIB),
    },
  },
  /** Bytes of a session's work that are kept in the database because they could not be pushed. */
  unpushedWorkBytes: {
    env: "UNPUSHED_WORK_MAX_MB",
    default: "256",
    doc: "Size of the work of a session that is kept in the database because it could not be pushed; more stays on its machine only.",
    parse: integer(1, 10_240, MIB),
  },
  /** Bytes that one session's agent may remember. */
  agentMemoryBytes: {
    env: "AGENT_MEMORY_MAX_MB",
    default: "64",
    doc: "What an agent may remember from one prompt of a session to the next; more is not kept, and the session says so.",
    parse: integer(1, 1_024, MIB),
  },
  /** Bytes of all snapshots of prepared checkouts of a machine; 0: none are made. */
  preparedBytes: {
    env: "PREPARED_MAX_MB",
    default: "4096",
    doc: "Disk space of a machine for what setup commands leave in checkouts, so that later runs skip them; 0: they always run.",
    parse: integer(0, 10_000_000, MIB),
  },
  gitAuthor: {
    name: {
      env: "GIT_AUTHOR_NAME",
      default: "prompt-backend",
      doc: "Author of the commit with changes that an agent left uncommitted.",
      parse: text,
    },
    email: {
      env: "GIT_AUTHOR_EMAIL",
      default: "prompt-backend@localhost",
      doc: "Email address of that author.",
      parse: text,
    },
  },
} as const satisfies Rows;
