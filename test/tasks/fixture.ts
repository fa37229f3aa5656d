import { afterAll, beforeAll } from "bun:test";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readConfig } from "../../src/config/config.ts";
import type { Database } from "../../src/db/client.ts";
import { message, prompt, session } from "../../src/db/tables.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { openSandboxes } from "../../src/sandboxes/providers.ts";
import { purge } from "../../src/tasks/purge.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { removeFolder } from "../harness/remove-folder.ts";

const never = new AbortController().signal;
export const daysAgo = (days: number) => new Date(Date.now() - days * 86_400_000);
/** A UUID that was created so many days ago. */
export const idFrom = (days: number) => Bun.randomUUIDv7("hex", daysAgo(days).getTime());

export interface SeededSession {
  id: string;
  promptId: string;
}

/** Creates a session with one prompt and its messages, all of them so many days old. */
export async function seedOldSession(
  { orm }: Database,
  options: {
    days: number;
    deletedDays?: number;
    messages?: number;
    status?: "Completed" | "Queued";
    sandbox?: boolean;
  },
): Promise<SeededSession> {
  const { days, deletedDays, messages = 3, status = "Completed", sandbox = false } = options;
  const [id, promptId] = [idFrom(days), idFrom(days)];
  await orm.insert(session).values({
    id,
    userId: "alice",
    repo: "owner/name",
    targetBranch: "main",
    branch: `prompt/${id}`,
    title: "A session",
    promptSeq: 1,
    messageSeq: messages,
    deletedAt: deletedDays === undefined ? null : daysAgo(deletedDays),
    sbxConfig: sandbox ? { provider: "local", id: crypto.randomUUID(), host: "here" } : null,
    messages: [{ role: "user", content: "hello", prompt_id: promptId, at: daysAgo(days).toISOString() }],
  });
  await orm.insert(prompt).values({
    id: promptId,
    sessionId: id,
    userId: "alice",
    seq: 1,
    data: "hello",
    status,
    finishedAt: status === "Completed" ? daysAgo(days) : null,
  });
  for (let seq = 1; seq <= messages; seq += 400)
    await orm.insert(message).values(
      Array.from({ length: Math.min(400, messages - seq + 1) }, (_, index) => ({
        id: idFrom(days),
        promptId,
        sessionId: id,
        seq: seq + index,
        data: { n: seq + index },
      })),
    );
  return { id, promptId };
}

/** What the tests of one database work with. */
export interface PurgeFixture {
  database: Database;
  dataDir: string;
  /** Lines that were logged, from warnings up. */
  logged: string[];
  /** Runs one round. @returns how many of each kind were removed. */
  runPurge(env?: Record<string, string>, signal?: AbortSignal): Promise<Record<string, number>>;
}

/** Runs the tests on each database, with a DATA_DIR of their own. */
export function describePurge(name: string, body: (fixture: () => PurgeFixture) => void): void {
  describeEachDatabase(name, (database) => {
    let dataDir: string;
    const logged: string[] = [];
    beforeAll(async () => {
      dataDir = await mkdtemp(join(tmpdir(), "pb-retention-"));
    });
    afterAll(() => removeFolder(dataDir));

    const logger = createLogger({ level: "warn", write: (line) => void logged.push(line) });
    const runPurge: PurgeFixture["runPurge"] = async (env = {}, signal = never) => {
      const PATH = process.env["PATH"];
      const config = readConfig({ DATA_DIR: dataDir, PATH, ALLOW_UNISOLATED_AGENTS: "1", ...env });
      const sandboxes = await openSandboxes({ config, logger, cgroups: async () => undefined });
      return purge({ config, database: database(), sandboxes }, signal);
    };
    body(() => ({ database: database(), dataDir, logged, runPurge }));
  });
}
