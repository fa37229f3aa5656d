import { sql } from "drizzle-orm";
import type { Database } from "../../src/db/client.ts";
import { agentMemory, sessionChunk, unpushedWork } from "../../src/db/memory-tables.ts";
import type { PackedChunk } from "../../src/memory/chunk-store.ts";
import { hashOf } from "../../src/sandboxes/state-pieces.ts";

/** A piece as it is stored. */
export function chunkOf(text: string | Uint8Array): PackedChunk {
  const piece = Buffer.from(text);
  return { hash: hashOf(piece), data: Bun.zstdCompressSync(piece) };
}

export async function hashesOf({ orm }: Database, sessionId: string): Promise<string[]> {
  const rows = await orm
    .select({ hash: sessionChunk.hash })
    .from(sessionChunk)
    .where(sql`${sessionChunk.sessionId} = ${sessionId}::uuid`);
  return rows.map(({ hash }) => hash).sort();
}

/** What a session's agent remembered some days ago, in pieces that are as old. */
export async function seedMemory(
  { orm }: Database,
  sessionId: string,
  { days, texts }: { days: number; texts: string[] },
): Promise<void> {
  const at = sql`now() - ${days}::int * interval '1 day'`;
  const chunks = texts.map(chunkOf);
  await orm
    .insert(sessionChunk)
    .values(chunks.map(({ hash, data }) => ({ sessionId, hash, data: Buffer.from(data), usedAt: at })))
    .onConflictDoNothing();
  await orm.insert(agentMemory).values({
    ...{ id: Bun.randomUUIDv7(), sessionId, promptId: Bun.randomUUIDv7(), agent: "shell", bytes: 1 },
    files: texts.map((text, index) => ({
      path: `${index}`,
      size: text.length,
      chunks: [chunkOf(text).hash],
    })),
    storedAt: at,
  });
}

/** What a session could not push, in one old piece. */
export async function seedUnpushed({ orm }: Database, sessionId: string, text: string): Promise<void> {
  const { hash, data } = chunkOf(text);
  const usedAt = sql`now() - interval '90 days'`;
  await orm
    .insert(sessionChunk)
    .values({ sessionId, hash, data: Buffer.from(data), usedAt })
    .onConflictDoNothing();
  const bundle = { path: "unpushed.bundle", size: text.length, chunks: [hash] };
  await orm.insert(unpushedWork).values({ sessionId, commit: "0".repeat(40), bundle });
}
