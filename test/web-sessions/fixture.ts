import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openLocalIssuer } from "../../src/auth/local-issuer.ts";
import { createVerifier } from "../../src/auth/verify.ts";
import type { Database } from "../../src/db/client.ts";
import type { makeApp } from "../harness/app.ts";
import { serveLive } from "../live/fixture.ts";

/** The API of a machine of its own, with its issuer, on a port of the loopback address. */
export async function serveLocal(database: Database, appOptions: Parameters<typeof makeApp>[0] = {}) {
  const dataDir = await mkdtemp(join(tmpdir(), "pb-web-session-"));
  const audience = "prompt-backend";
  let clock = 0;
  const localIssuer = openLocalIssuer({ dataDir, audience, now: () => Date.now() + clock });
  const server = await serveLive(
    database,
    { heartbeatMs: 50 },
    {
      verifier: createVerifier({ config: { mode: "local", audience }, dataDir }),
      localIssuer,
      env: {},
      ...appOptions,
    },
  );
  return {
    ...server,
    dataDir,
    issuer: localIssuer,
    /** Moves the issuer's clock, and the codes with it. */
    later: (ms: number) => {
      clock += ms;
    },
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

export interface Reply {
  status: number;
  headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: replies of every shape are read here.
  body: any;
}

/** What a page of the service sends: with its cookies and its origin, and the CSRF token once it knows one. */
export function openPage(url: string, origin = new URL(url).origin) {
  const cookies = new Map<string, string>();
  let csrf: string | undefined;
  const send = async (
    method: string,
    path: string,
    options: { body?: unknown; headers?: Record<string, string>; without?: readonly string[] } = {},
  ): Promise<Reply> => {
    const isWrite = !["GET", "HEAD"].includes(method);
    const headers = new Headers({
      ...(cookies.size > 0 && { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join("; ") }),
      ...(isWrite && { origin }),
      ...(isWrite && csrf !== undefined && { "x-csrf-token": csrf }),
      ...(options.body !== undefined && { "content-type": "application/json" }),
      ...options.headers,
    });
    for (const name of options.without ?? []) headers.delete(name);
    const reply = await fetch(`${url}${path}`, {
      method,
      headers,
      redirect: "manual",
      ...(options.body !== undefined && { body: JSON.stringify(options.body) }),
    });
    for (const line of reply.headers.getSetCookie()) {
      const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      if (/Max-Age=0\b/.test(line)) cookies.delete(name);
      else cookies.set(name, value);
    }
    const text = await reply.text();
    const isJson = reply.headers.get("content-type")?.startsWith("application/json");
    const body = isJson && text !== "" ? JSON.parse(text) : text;
    return { status: reply.status, headers: reply.headers, body };
  };
  const session = async () => {
    const { body } = await send("GET", "/auth/session");
    csrf = body.csrf_token ?? undefined;
    return body;
  };
  return {
    cookies,
    send,
    session,
    csrfToken: () => csrf,
    /** The Cookie header. */
    cookie: () => [...cookies].map(([name, value]) => `${name}=${value}`).join("; "),
    async signIn(code: string) {
      const reply = await send("POST", "/auth/local", { body: { code } });
      await session();
      return reply;
    },
  };
}

/** A page of the service that is signed in by a link. */
export async function signedIn(server: { url: string; issuer: { issueSignInCode(): string } }) {
  const page = openPage(server.url);
  const { status } = await page.signIn(server.issuer.issueSignInCode());
  if (status !== 200) throw new Error(`POST /auth/local answered ${status}`);
  return page;
}
