import { createClient } from "@hey-api/openapi-ts";

/** Generates src/generated from openapi.json. Method names are the operationIds in camel case. */
await createClient({
  input: "./openapi.json",
  output: { path: "./src/generated", module: { extension: ".js" } },
  logs: { level: "warn" },
  plugins: [
    "@hey-api/client-fetch",
    "@hey-api/typescript",
    { name: "@hey-api/sdk", operations: { strategy: "single", containerName: "PromptBackend" } },
  ],
});
