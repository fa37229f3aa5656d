import { afterAll, beforeAll } from "bun:test";
import type { Database } from "../../src/db/client.ts";
import type { AppOptions } from "../../src/server/app.ts";
import { AppError } from "../../src/shared/errors.ts";
import { ask, makeApp } from "../harness/app.ts";
import { makeRepository, type TestRepository } from "../harness/repository.ts";
import { SLOW_TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { openSandboxFixture, type SandboxFixture } from "../sandboxes/fixture.ts";

export const BASE = "b".repeat(40);
export const HEAD = "a".repeat(40);
export const LATER = "c".repeat(40);

/** Files of commits, by commit and path, and what changes between two of them, by `from to`. */
export interface Repository {
  head: string;
  files: Record<string, Record<string, string>>;
  diffs?: Record<string, { files: object[]; truncated?: boolean }>;
}

export const repository = (): Repository => ({
  head: HEAD,
  files: { [BASE]: { "a.ts": "old\n" }, [HEAD]: { "a.ts": "one\ntwo\n```\nfour", "b.ts": "\n" } },
});

/** Reviews of one repository, which every session has. Undefined: it cannot be read. */
function reviewsOf(read: () => Repository | undefined): AppOptions["reviews"] {
  const opened = () => {
    const found = read();
    if (found) return found;
    throw new AppError("repository_unavailable", "The host does not answer.");
  };
  const reviews = {
    work: async () => ({ base: BASE, head: opened().head }),
    async commitOf(_work: unknown, commit: string) {
      if (commit in opened().files) return commit;
      throw new AppError("commit_not_found", "There is no such commit.");
    },
    async show(_work: unknown, at: { commit: string; path: string; lines: readonly [number, number] }) {
      const text = opened().files[at.commit]?.[at.path];
      if (text === undefined) throw new AppError("file_not_found", "There is no such file.");
      const lines = text.split(/(?<=\n)/).slice(at.lines[0] - 1, at.lines[1]);
      return {
        type: "file",
        id: String(Bun.hash(text)),
        size: text.length,
        bytes: Buffer.from(lines.join("")),
      };
    },
    readAhead: async () => undefined,
    async diff(_work: unknown, { from, to, path }: { from: string; to: string; path: string | undefined }) {
      const { files, truncated = false } = opened().diffs?.[`${from} ${to} ${path ?? ""}`.trim()] ?? {
        files: [],
      };
      return { json: JSON.stringify(files), truncated };
    },
  };
  return reviews as unknown as AppOptions["reviews"];
}

/** What users do in these tests. By default the user is alice, and the repository is `repository()`. */
export function commenting(
  database: () => Database,
  read: () => Repository | undefined = repository,
  { user: usual = "alice", env = {} }: { user?: string; env?: Record<string, string> } = {},
) {
  let app: ReturnType<typeof makeApp> | undefined;
  const send = (
    method: string,
    path: string,
    body?: unknown,
    { user = usual, headers = {} }: { user?: string; headers?: Record<string, string> } = {},
  ) => {
    app ??= makeApp({ database: database(), reviews: reviewsOf(read), env });
    return ask(app, user, method, path, body, headers);
  };
  const createSession = async (): Promise<string> => {
    const input = { repo: "owner/name", target_branch: "main", messages: "Fix the login timeout" };
    return (await send("POST", "/sessions/with-prompt", input)).body.sessionId;
  };
  /** A comment on line 1 of a.ts, unless it says something else. */
  const comment = (session: string, more: object = {}) =>
    send("POST", `/sessions/${session}/comments`, {
      ...{ path: "a.ts", commit: HEAD, side: "new", line: 1, text: "Why?" },
      ...more,
    });
  const list = async (session: string, query = "") =>
    (await send("GET", `/sessions/${session}/comments${query}`)).body;
  return { send, createSession, comment, list };
}

/** Sandboxes, and a repository, for the tests of a group: they are there once a test runs. */
export function withRepository(): { sandboxes: SandboxFixture; repo: TestRepository } {
  const of = {} as ReturnType<typeof withRepository>;
  beforeAll(async () => {
    [of.sandboxes, of.repo] = await Promise.all([openSandboxFixture(), makeRepository()]);
  }, SLOW_TEST_TIMEOUT_MS);
  afterAll(async () => {
    await of.sandboxes.remove();
    await of.repo.remove();
  });
  return of;
}
