import { type Static, type TSchema, Type as t } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import type { ForgeHost } from "../config/forge-hosts.ts";
import { ForgeError, type ForgeFault } from "./forge.ts";

/** Longest title and name that is handed on, characters. */
const TEXT_LENGTH = 1_000;
/** Longest quotation of a host's own words, characters. */
const QUOTE_LENGTH = 500;
const URL_LENGTH = 2_000;
/** Pages of a list that are read: a host may send them without end. */
const MAX_PAGES = 20;
/** The longest wait that is believed, milliseconds; a later one is tried in vain once. */
const LONGEST_LIMIT_MS = 24 * 3_600_000;

export const nullable = <S extends TSchema>(schema: S) => t.Union([schema, t.Null()]);
export const COMMIT = t.String({ pattern: "^([0-9a-f]{40}|[0-9a-f]{64})$" });
/** Any of it makes a valid Date. */
export const TIME = t.String({
  pattern:
    "^\\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\\d|3[01])T([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,9})?(Z|[+-][01]\\d:[0-5]\\d)$",
});
export const BRANCH = t.String({ maxLength: 1_000 });
export const REPOSITORY_PATH = t.String({ minLength: 3, maxLength: 1_000 });
export const USER_NAME = t.String({ minLength: 1, maxLength: 255 });
/** Of a list: no host sends more in a page. */
export const pageOf = <S extends TSchema>(schema: S) => t.Array(schema, { maxItems: 100 });

/** @throws ForgeError unless the reply is what the schema says: what a host sends is not trusted. */
export function checkReply<S extends TSchema>(schema: S, body: unknown, host: ForgeHost): Static<S> {
  if (Value.Check(schema, body)) return body;
  const at = Value.Errors(schema, body).First()?.path || "its beginning";
  throw new ForgeError(
    "unavailable",
    `${new URL(host.apiUrl).host} sent a reply that is not as its API is documented (at ${at}).`,
  );
}

interface Page<T> {
  entries: readonly T[];
  /** Of all pages; undefined: the host does not say. */
  total?: number | undefined;
  /** No other page follows. */
  isLast?: boolean;
}

/**
 * All entries of a list. A page may be shorter than what was asked for: only an empty one is the end, unless the host says
 * how many entries there are, or which page is the last.
 * @param what in an error message: "statuses". @param read a page, by its number from 1.
 * @throws ForgeError when there are more than are read.
 */
export async function allPages<T>(
  what: string,
  read: (page: number) => Promise<Page<T>>,
): Promise<readonly T[]> {
  const all: T[] = [];
  for (let page = 1; page <= MAX_PAGES; page += 1) {
    const { entries, total, isLast = false } = await read(page);
    all.push(...entries);
    if (isLast || entries.length === 0 || (total !== undefined && all.length >= total)) return all;
  }
  throw new ForgeError("invalid", `There are more than ${all.length} ${what}: they are not read.`);
}

/** The first entry of a list that `isWanted`, on the pages that are read. */
export async function firstOf<T>(
  read: (page: number) => Promise<readonly T[]>,
  isWanted: (entry: T) => boolean,
): Promise<T | undefined> {
  for (let page = 1; page <= MAX_PAGES; page += 1) {
    const entries = await read(page);
    const found = entries.find(isWanted);
    if (found || entries.length === 0) return found;
  }
  return undefined;
}

/** Between a host's name and what was asked of it, in error messages. */
export const VERBS: Readonly<Record<ForgeFault, string>> = {
  unauthorised: "does not accept the credential with which to",
  forbidden: "does not permit to",
  missing: "has not found what it needs to",
  exists: "refused to",
  conflict: "refused to",
  invalid: "refused to",
  rate_limited: "limits the number of requests, and refused to",
  unavailable: "failed to",
};

/** When a limit of requests ends. @param wait as the host says it, milliseconds. */
export const believedEnd = (wait: number): Date =>
  new Date(Date.now() + Math.min(LONGEST_LIMIT_MS, Math.max(0, wait)));

export const shortened = (text: string): string => text.slice(0, TEXT_LENGTH);

export const oneLine = (text: string): string =>
  text
    .slice(0, QUOTE_LENGTH)
    .replace(/[\p{C}\s]+/gu, " ")
    .trim()
    .replace(/\.$/, "");

/** Only what a browser may open: whoever writes to the repository sets these. */
export function pageUrl(text: string | null | undefined): string | null {
  if (!text || text.length > URL_LENGTH) return null;
  const url = URL.parse(text);
  return url && /^https?:$/.test(url.protocol) && !url.username && !url.password ? url.href : null;
}
