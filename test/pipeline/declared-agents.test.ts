import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { createDeployment, startBackend } from "../harness/backend.ts";
import { makeRepository } from "../harness/repository.ts";
import { START_TIMEOUT_MS } from "../harness/timeouts.ts";
import { promptEnd } from "./real-agents.ts";

setDefaultTimeout(START_TIMEOUT_MS);

const USUAL = {
  anthropic: ["ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY"],
  openai: ["OPENAI_BASE_URL", "OPENAI_API_KEY"],
  google: ["GOOGLE_GEMINI_BASE_URL", "GEMINI_API_KEY"],
} as const;
const APIS = ["anthropic", "openai", "google"] as const;
const PROTOCOLS = ["claude", "acp", "lines"] as const;

/** All protocols with all APIs under names of their own, and each of them once under the usual names. */
const AGENTS = PROTOCOLS.flatMap((protocol, p) =>
  APIS.flatMap((api, a) =>
    (["own", ...(p === a ? ["usual"] : [])] as const).map((names) => {
      const [baseUrlEnv, keyEnv] = names === "own" ? ["MY_MODEL_URL", "MY_MODEL_KEY"] : USUAL[api];
      return {
        ...{ name: `${protocol}-${api}-${names}`, protocol, modelApi: api },
        ...(names === "own" && { baseUrlEnv, keyEnv }),
        command: [
          ...[process.execPath, join(import.meta.dir, "declared-agent.ts"), protocol],
          ...[api, baseUrlEnv, keyEnv],
        ],
      };
    }),
  ),
);

test("agents that AGENTS declares reach their model by the proxy, with a token of their run, under the names they know", async () => {
  const seen: string[] = [];
  using upstream = Bun.serve({
    ...{ hostname: "127.0.0.1", port: 0 },
    async fetch(request) {
      const { headers, url } = request;
      const key = headers.get("x-api-key") ?? headers.get("authorization") ?? headers.get("x-goog-api-key");
      // Titles are asked for, too.
      if ((await request.text()).includes("declared")) seen.push(`${new URL(url).pathname} ${key}`);
      return new Response("answered");
    },
  });
  const url = upstream.url.href.replace(/\/$/, "");
  await using deployment = await createDeployment("embedded");
  await using backend = await startBackend(deployment, {
    env: {
      AGENTS: JSON.stringify(AGENTS),
      ...{ ANTHROPIC_API_KEY: "real-key-anthropic", ANTHROPIC_BASE_URL: url },
      ...{ OPENAI_API_KEY: "real-key-openai", OPENAI_BASE_URL: `${url}/v1` },
      ...{ GEMINI_API_KEY: "real-key-google", GEMINI_BASE_URL: url },
    },
  });
  const repository = await makeRepository();
  const submitted = await Promise.all(
    AGENTS.map(({ name }) => backend.submit(repository.path, "Ask your model.", { agent: name })),
  );
  for (const [n, { promptId }] of submitted.entries()) {
    const prompt = await promptEnd(backend, promptId);
    const said = JSON.stringify(await backend.messages(promptId));
    expect([AGENTS[n]?.name, prompt.status, prompt.error]).toEqual([AGENTS[n]?.name, "Completed", null]);
    expect(said).toContain("200 answered; run-; 0 real keys");
    expect(said).not.toContain("real-key");
  }
  const expected = [
    "/v1/messages real-key-anthropic",
    "/v1/chat/completions Bearer real-key-openai",
    "/v1beta/models/gemini:generateContent real-key-google",
  ];
  expect(seen.toSorted()).toEqual(expected.flatMap((one) => Array(4).fill(one)).toSorted());
  await repository.remove();
});
