import { expect, test } from "bun:test";
import { useDoctor } from "./use-doctor.ts";

const { examined } = useDoctor();

test("each key that is set is tried at its API, and shown nowhere; a gateway without the list of models will do", async () => {
  const seen: Record<string, string | null> = {};
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch({ url, headers }) {
      const { pathname } = new URL(url);
      const bearer = headers.get("authorization");
      seen[pathname] = headers.get("x-api-key") ?? headers.get("x-goog-api-key") ?? bearer;
      if (pathname === "/openai/v1/models") return Response.json({}, { status: 401 });
      if (pathname === "/google/v1beta/models") return new Response("no", { status: 404 });
      if (pathname === "/moved/models") return Response.redirect(new URL("/elsewhere", url).href, 307);
      return Response.json({ data: [] });
    },
  });
  const env = {
    ANTHROPIC_API_KEY: "sk-secret-1",
    OPENAI_API_KEY: "sk-secret-2",
    GEMINI_API_KEY: "sk-secret-3",
    ANTHROPIC_BASE_URL: `${server.url}anthropic`,
    OPENAI_BASE_URL: `${server.url}openai/v1`,
    GEMINI_BASE_URL: `${server.url}google`,
  };
  try {
    expect((await examined()).checks.some(({ check }) => check.startsWith("model"))).toBe(false);
    const { code, of, text } = await examined(env);
    expect(code).toBe(1);
    expect(of("model (anthropic)")).toBe(`ok: ${server.url.host} accepts ANTHROPIC_API_KEY`);
    expect(of("model (openai)")).toBe(`fail: ${server.url.host} refuses OPENAI_API_KEY (401)`);
    expect(of("model (google)")).toBe(`ok: ${server.url.host} answers (404)`);
    expect(text).not.toContain("sk-secret");
    expect(seen).toEqual({
      "/anthropic/v1/models": "sk-secret-1",
      "/openai/v1/models": "Bearer sk-secret-2",
      "/google/v1beta/models": "sk-secret-3",
    });
    const moved = { OPENAI_API_KEY: "sk-secret-2", OPENAI_BASE_URL: `${server.url}moved` };
    expect((await examined(moved)).of("model (openai)")).toMatch(/^ok: .*answers \(307\)/);
    expect(Object.keys(seen)).not.toContain("/elsewhere");
    await server.stop(true);
    expect((await examined(moved)).of("model (openai)")).toMatch(/^fail: .*does not answer/);
  } finally {
    await server.stop(true);
  }
}, 60_000);
