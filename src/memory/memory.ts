import type { Agent } from "../agents/agent.ts";
import type { Orm } from "../db/client.ts";
import type { MemoryKind } from "../db/columns.ts";
import type { Turn } from "../db/json-columns.ts";
import { retryWhileUnavailable } from "../db/retry-while-unavailable.ts";
import type { NewMemory } from "../lifecycle/end-run.ts";
import type { ClaimedRun } from "../lifecycle/start-run.ts";
import { type Clean, type Sandbox, StateDamaged, type StateProblem } from "../sandboxes/sandbox.ts";
import { MIB } from "../shared/units.ts";
import { type PackedChunk, packed, putChunks, readChunks, touchChunks } from "./chunk-store.ts";
import { type PriorMemory, readPriorMemory } from "./memory-store.ts";

/** What one statement stores, unpacked bytes. */
const BATCH_BYTES = 1024 * 1024;

/** What an agent knows of the prompts before its own. */
export interface KnownMemory {
  kind: MemoryKind;
  /** Why it is not what one expects, a sentence for the user. */
  reason: string | null;
  /** What it must be told with its prompt. */
  turns: Turn[];
}

/**
 * What agents remember, in the database: any machine can run a session's next prompt. What a machine has kept itself saves
 * fetching it.
 */
export interface MemoryKeeper {
  /** Brings the agent's memory into a new sandbox. @throws what `signal` aborted with. */
  restore(
    run: ClaimedRun,
    into: { sandbox: Sandbox; agent: Agent; signal: AbortSignal },
  ): Promise<KnownMemory>;
  /** What an agent is told whose memory cannot be used. @param reason a sentence for the user. */
  replay(run: ClaimedRun, agent: Agent, reason: string, signal: AbortSignal): Promise<KnownMemory>;
  /**
   * Keeps what an ended agent remembers on this machine, and stores its pieces under the run's fence; `finish` makes it the
   * session's.
   * @returns undefined: the agent has left nothing. @throws LeaseLost; what `signal` aborted with.
   */
  store(
    run: ClaimedRun,
    from: { sandbox: Sandbox; agent: Agent; redactor?: Clean | undefined; signal: AbortSignal },
  ): Promise<NewMemory | undefined>;
}

/** @param options.maxBytes of one memory, as the sandboxes' (AGENT_MEMORY_MAX_MB). */
export function createMemoryKeeper({ orm, maxBytes }: { orm: Orm; maxBytes: number }): MemoryKeeper {
  /** Whether the agent has something in the sandbox now that it can continue from. */
  const restored = async (options: {
    run: ClaimedRun;
    sandbox: Sandbox;
    agent: Agent;
    prior: PriorMemory;
    signal: AbortSignal;
  }): Promise<boolean> => {
    const { run, sandbox, agent, prior, signal } = options;
    const { stored, otherAgent } = prior;
    // What this machine has kept of the session is the other agent's.
    if (stored ? stored.files.length === 0 : otherAgent !== null) return false;
    const pieces = (hashes: readonly string[]) =>
      retryWhileUnavailable(signal, () => readChunks(orm, run.sessionId, hashes));
    try {
      await sandbox.restoreState(keptBy(agent, run), stored && { files: stored.files, pieces });
    } catch (error) {
      if (!(error instanceof StateDamaged)) throw error;
      return false;
    }
    if (!agent.replays) return stored !== undefined;
    return agent.hasTranscript(sandbox.hostPaths.state, run.conversationId);
  };

  const replay = async (
    run: ClaimedRun,
    agent: Agent,
    reason: string,
    signal: AbortSignal,
  ): Promise<KnownMemory> => {
    const wanted = { agent: agent.name, all: true };
    const { turns } = await retryWhileUnavailable(signal, () => readPriorMemory(orm, run, wanted));
    return { kind: turns.length > 0 ? "replayed" : "cold", reason, turns };
  };

  return {
    async restore(run, { sandbox, agent, signal }) {
      const prior = await retryWhileUnavailable(signal, () =>
        readPriorMemory(orm, run, { agent: agent.name }),
      );
      const { stored, turns } = prior;
      if (!stored && turns.length === 0) return { kind: "fresh", reason: null, turns };
      if (await restored({ run, sandbox, agent, prior, signal }))
        // What is from before memory was stored knows all turns.
        return { kind: "resumed", reason: null, turns: agent.replays && stored ? turns : [] };
      if (!agent.replays)
        return { kind: "cold", reason: "This agent keeps nothing from one prompt to the next.", turns: [] };
      const reason = reasonOf(prior, maxBytes);
      if (stored?.problem === "too_large" || stored?.problem === "too_many")
        return { kind: "cold", reason, turns: [] };
      return replay(run, agent, reason, signal);
    },

    replay,

    async store(run, { sandbox, agent, redactor, signal }) {
      const kept = await sandbox.keepState(keptBy(agent, run), redactor);
      if (kept.files.length === 0 && !kept.problem) return undefined;
      const hashes = [...new Set(kept.files.flatMap(({ chunks }) => chunks))];
      const there = await retryWhileUnavailable(signal, () => touchChunks(orm, run, hashes));
      let batch: PackedChunk[] = [];
      let bytes = 0;
      const flush = async () => {
        const chunks = batch;
        batch = [];
        bytes = 0;
        if (chunks.length > 0) await retryWhileUnavailable(signal, () => putChunks(orm, run, chunks));
      };
      for (const file of kept.files)
        for (const [index, hash] of file.chunks.entries()) {
          if (there.has(hash)) continue;
          there.add(hash);
          const piece = await kept.read(file, index);
          batch.push({ hash, data: await packed(piece) });
          bytes += piece.length;
          if (bytes >= BATCH_BYTES) await flush();
        }
      await flush();
      return {
        agent: agent.name,
        files: kept.files,
        bytes: kept.bytes,
        problem: kept.problem ?? null,
      };
    },
  };
}

/** What of the state outlives the sandbox. */
const keptBy = (agent: Agent, run: ClaimedRun) => (path: string, isFolder: boolean) =>
  agent.keeps(path, isFolder, run.conversationId);

function reasonOf({ stored, otherAgent }: PriorMemory, maxBytes: number): string {
  if (!stored && otherAgent !== null) return `Another agent, ${otherAgent}, worked on the earlier prompts.`;
  if (!stored) return "Nothing of what the agent remembered was stored.";
  if (stored.problem) return REASONS[stored.problem](maxBytes);
  return "What was stored of the agent's memory is damaged.";
}

const REASONS: Readonly<Record<StateProblem, (maxBytes: number) => string>> = {
  too_large: (maxBytes) =>
    `The agent's memory had more than ${maxBytes / MIB} MB (AGENT_MEMORY_MAX_MB) and was not kept.`,
  too_many: () => "The agent's memory had too many files and was not kept.",
  not_files: () => "The agent's memory was not in regular files and was refused.",
};
