import { resolve } from "node:path";
import { readSources, type Source } from "./sources.ts";

const ROOT = resolve(import.meta.dir, "..");

/** What `npm run test:quick` leaves out, and why: slow folders and files, and tests that use these parts of the harness. */
const FOLDERS = {
  pipeline: "follows prompts through running services",
  chaos: "breaks running services",
  fuzz: "sends thousands of requests",
  sdk: "builds the SDK",
  "db/migrations.test.ts": "creates databases without a template",
  "docs/architecture.test.ts": "tries every event in every state",
};
const PARTS = {
  "harness/backend.ts": "starts the service",
  "harness/process.ts": "starts programs",
  "harness/repository.ts": "runs git",
  "harness/browser.ts": "needs a browser",
  "harness/claude-code.ts": "needs Claude Code",
  "harness/binary.ts": "builds the executable",
  "harness/private-servers.ts": "starts PostgreSQL or Redis",
  "harness/machine.ts": "needs programs of the machine",
};

/** The test files, as paths below test/: those to run, and those left out, with the reason. */
export function quickTests(): { run: string[]; leftOut: Map<string, string> } {
  const sources = new Map(readSources(ROOT).map((source) => [source.path, source]));
  const files = [...sources.keys()].filter((file) => file.endsWith(".test.ts"));
  const leftOut = new Map<string, string>();
  for (const file of files.sort()) {
    const reason = reasonOf(FOLDERS, file) ?? partReason(file, sources);
    if (reason !== undefined) leftOut.set(file, reason);
  }
  return { run: files.filter((file) => !leftOut.has(file)), leftOut };
}

const reasonOf = (reasons: Readonly<Record<string, string>>, file: string) =>
  Object.entries(reasons).find(([path]) => file === path || file.startsWith(`${path}/`))?.[1];

/** Follows the imports of helpers, except those in harness/, which `PARTS` lists. */
function partReason(file: string, sources: ReadonlyMap<string, Source>): string | undefined {
  for (const { file: imported = "" } of sources.get(file)?.imports ?? []) {
    const known = reasonOf(PARTS, imported);
    const reason = known ?? (imported.startsWith("harness/") ? undefined : partReason(imported, sources));
    if (reason !== undefined) return reason;
  }
  return undefined;
}
