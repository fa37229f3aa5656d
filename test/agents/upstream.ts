import { afterEach, beforeEach } from "bun:test";
import { type ModelProxy, openModelProxy } from "../../src/agents/model-proxy.ts";
import type { ModelApi } from "../../src/db/columns.ts";
import { Secret } from "../../src/shared/secret.ts";

export const KEY = "sk-ant-real";
export const BODY = JSON.stringify({ model: "m", messages: [] });

/** An upstream that records requests and replies as the test says. */
export function startUpstream() {
  const seen: { path: string; headers: Headers; body: string; bytes: Uint8Array }[] = [];
  let answer: (request: Request) => Response | Promise<Response> = () => Response.json({ ok: true });
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    async fetch(request) {
      const { pathname, search } = new URL(request.url);
      const bytes = await request.bytes();
      seen.push({
        path: pathname + search,
        headers: request.headers,
        body: Buffer.from(bytes).toString(),
        bytes,
      });
      return await answer(request);
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}/prefix`,
    seen,
    answer: (next: typeof answer) => {
      answer = next;
    },
    stop: () => server.stop(true),
  };
}

/** Opens a proxy with an upstream of its own before each test of a file, and closes both after it. */
export function openProxyForEachTest(api: ModelApi = "anthropic") {
  let upstream: ReturnType<typeof startUpstream>;
  let proxy: ModelProxy;
  beforeEach(() => {
    upstream = startUpstream();
    proxy = openModelProxy({ api, upstream: upstream.url, apiKey: new Secret(KEY) });
  });
  afterEach(async () => {
    await proxy.close();
    await upstream.stop();
  });
  return {
    opened: {
      get upstream() {
        return upstream;
      },
      get proxy() {
        return proxy;
      },
    },
    post: (headers: Record<string, string>, path = "/v1/messages", init: RequestInit = {}) =>
      fetch(new URL(path, proxy.url), { method: "POST", headers, body: BODY, ...init }),
  };
}
