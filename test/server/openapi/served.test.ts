import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import type { Database } from "../../../src/db/client.ts";
import { realApp } from "../../harness/real-app.ts";
import { TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

test("the served document is OpenAPI 3.1 with the contract's names, and equals what print-openapi prints", async () => {
  const app = (await realApp()).on({} as Pick<Database, "orm">);
  const served = await (await app.handle(new Request("http://localhost/openapi.json"))).text();
  const document = JSON.parse(served);
  expect(document.openapi).toBe("3.1.0");
  const operations = Object.values(document.paths)
    .flatMap((path) => Object.values(path as object))
    .map(({ operationId }) => operationId);
  for (const id of [
    "handlers_health_health",
    "handlers_sessions_list",
    "handlers_sessions_create",
    "handlers_sessions_create_with_prompt",
    "handlers_sessions_read",
    "handlers_prompts_create",
    "handlers_prompts_list",
    "handlers_messages_list",
    "handlers_sessions_events",
    "handlers_events",
  ])
    expect(operations).toContain(id);
  expect(Object.keys(document.paths)).toContain("/sessions/{session_id}/prompts");
  expect(document.components.securitySchemes).toMatchObject({
    Bearer: { type: "http", scheme: "bearer", bearerFormat: "JWT" },
  });
  expect(Object.keys(document.components.schemas)).toContain("CreateSessionWithPromptInput");
  expect(served).not.toContain("$id");
  const printed = Bun.spawnSync({
    cmd: [process.execPath, join(import.meta.dir, "../../../src/main.ts"), "print-openapi"],
    env: { PATH: process.env["PATH"] ?? "", DATABASE_URL: "nonsense" },
  });
  expect(printed.stdout.toString().replace(/"version": "[^"]+"/, "")).toBe(
    served.replace(/"version": "[^"]+"/, ""),
  );
});
