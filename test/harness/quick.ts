import { resolve } from "node:path";
import { readSources, type Source } from "./sources.ts";

const ROOT = resolve(import.meta.dir, "..");

/** What `npm run test:quick` leaves out: folders and files that take long, and files that use one of these parts of the harness. */
const FOLDERS = {
  pipeline: "follows prompts through running services",
  chaos: "breaks running services",
  fuzz: "sends thousands of requests",
  "db/migrations.test.ts": "makes databases from nothing",
  "docs/architecture.test.ts": "takes every event in every state",
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

/** The test files, below test/: those to run, and those left out with the reason. */
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

/** Follows imports of tests' own helpers; what is in harness/ is known for what it is. */
function partReason(file: string, sources: ReadonlyMap<string, Source>): string | undefined {
  for (const { file: imported = "" } of sources.get(file)?.imports ?? []) {
    const known = reasonOf(PARTS, imported);
    const reason = known ?? (imported.startsWith("harness/") ? undefined : partReason(imported, sources));
    if (reason !== undefined) return reason;
  }
  return undefined;
}
