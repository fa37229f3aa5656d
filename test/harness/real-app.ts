import { afterAll } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openLocalIssuer } from "../../src/auth/local-issuer.ts";
import { createVerifier } from "../../src/auth/verify.ts";
import { readConfig } from "../../src/config/config.ts";
import type { Database } from "../../src/db/client.ts";
import { openForges } from "../../src/forges/open-forges.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { openSigningKey } from "../../src/provenance/key.ts";
import { createApp } from "../../src/server/app.ts";
import { noMachine, noRepositories, noReviews, noStreams } from "./app.ts";
import { noMetrics } from "./metrics.ts";

interface SendOptions {
  body?: unknown;
  /** The body's text, instead. */
  raw?: string;
  /** Default: alice's. */
  token?: string | null;
  headers?: Record<string, string>;
}
export type Send = ReturnType<Awaited<ReturnType<typeof realApp>>["sendTo"]>;

/** The API with tokens of the local issuer, without a server; its log lines are in `logged`. */
export async function realApp() {
  const dataDir = mkdtempSync(join(tmpdir(), "pb-api-"));
  afterAll(() => rmSync(dataDir, { recursive: true, force: true }));
  const config = readConfig({
    DATA_DIR: dataDir,
    CORS_ORIGINS: "https://ui.example.com",
    ANTHROPIC_API_KEY: "sk-test-key",
  });
  const logged: string[] = [];
  const logger = createLogger({ level: "info", write: (line) => void logged.push(line) });
  const on = (database: Pick<Database, "orm">) =>
    createApp({
      database,
      config,
      hub: noStreams,
      forges: openForges([]),
      reviews: noReviews(database),
      repositories: noRepositories(database, config),
      metrics: noMetrics(),
      logger,
      version: "1.2.3",
      publicKey: () => openSigningKey(config).publicKey,
      verifier: createVerifier({ config: config.auth, dataDir }),
      setup: { agent: { name: "demo", reason: "AGENT=demo" }, embedded: true },
      here: noMachine,
      health: async () => ({
        version: "1.2.3",
        agent: "demo",
        isolation: { isolated: true, detail: "" },
        database: "embedded",
        queue: "embedded",
      }),
    });
  const issuer = openLocalIssuer({ dataDir, audience: "prompt-backend" });
  const tokenOf = (user: string) => issuer.issue({ user, roles: [] });
  const [alice, bob] = await Promise.all([tokenOf("alice"), tokenOf("bob")]);

  const sendTo =
    (database: () => Pick<Database, "orm">) =>
    async (method: string, path: string, options: SendOptions = {}) => {
      const { body, raw, token = alice, headers } = options;
      const text = raw ?? (body === undefined ? undefined : JSON.stringify(body));
      const request = new Request(`http://localhost${path}`, {
        method,
        headers: {
          ...(text !== undefined && {
            "content-type": "application/json",
            "content-length": String(Buffer.byteLength(text)),
          }),
          ...(token && { authorization: `Bearer ${token}` }),
          ...headers,
        },
        ...(text !== undefined && { body: text }),
      });
      const reply = await on(database()).handle(request);
      const answer = await reply.text();
      return {
        status: reply.status,
        headers: reply.headers,
        // biome-ignore lint/suspicious/noExplicitAny: replies of every shape are read here.
        body: (answer ? JSON.parse(answer) : undefined) as any,
      };
    };
  /** Creates a session of alice with a queued prompt. */
  const createIn =
    (database: () => Pick<Database, "orm">) =>
    async (text = "Fix the login timeout") =>
      (
        await sendTo(database)("POST", "/sessions/with-prompt", {
          body: { repo: "owner/name", target_branch: "main", messages: [{ content: text }] },
        })
      ).body;
  return { on, sendTo, createIn, alice, bob, logged };
}
