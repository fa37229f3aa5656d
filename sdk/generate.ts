import { createClient } from "@hey-api/openapi-ts";

/** Generates src/generated from openapi.json and package.json. Method names are the operationIds in camel case. */
await createClient({
  input: "./openapi.json",
  output: { path: "./src/generated", module: { extension: ".js" } },
  logs: { level: "warn" },
  plugins: [
    { name: "@hey-api/client-fetch", throwOnError: true },
    "@hey-api/typescript",
    { name: "@hey-api/sdk", operations: { strategy: "single", containerName: "PromptBackendApi" } },
  ],
});

const { version } = await Bun.file("./package.json").json();
await Bun.write("./src/generated/version.ts", `export const VERSION = ${JSON.stringify(version)};\n`);
