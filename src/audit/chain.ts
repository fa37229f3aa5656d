import { createHash } from "node:crypto";

/** A sealed entry, as the chain covers it. */
export interface SealedEntry {
  seq: number;
  at: Date;
  actor: string;
  action: string;
  target: string;
  detail: unknown;
  hash: string;
}

/** The last entry of a chain. */
export interface Link {
  seq: number;
  hash: string;
}

/** Before the first entry. */
export const ORIGIN: Link = { seq: 0, hash: "0".repeat(64) };

/**
 * The hash of an entry: SHA-256, in hexadecimal, of the previous hash, a line break, and the JSON array
 * `[seq, at, actor, action, target, detail]`, without white space, the keys of objects sorted.
 */
export function hashOf(previous: string, entry: Omit<SealedEntry, "hash">): string {
  const { seq, at, actor, action, target, detail } = entry;
  const row = JSON.stringify([seq, at.toISOString(), actor, action, target, sorted(detail)]);
  return createHash("sha256").update(`${previous}\n${row}`).digest("hex");
}

/** What is wrong with an entry that follows a link; undefined: nothing. */
export function problemOf(previous: Link, entry: SealedEntry): string | undefined {
  if (entry.seq !== previous.seq + 1)
    return `entry ${previous.seq + 1} is missing: ${entry.seq} follows ${previous.seq}`;
  if (entry.hash !== hashOf(previous.hash, entry))
    return `entry ${entry.seq} or the one before it was changed: its hash does not match`;
  return undefined;
}

/** The same value with the keys of all objects in order: PostgreSQL keeps no order. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, one]) => [key, sorted(one)]));
}
