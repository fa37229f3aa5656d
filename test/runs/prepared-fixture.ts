import { beforeEach } from "bun:test";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { eq } from "drizzle-orm";
import { project } from "../../src/db/project-tables.ts";
import type { ProjectChange } from "../../src/projects/store.ts";
import type { RunnerDeps } from "../../src/runs/runner.ts";
import { SLOW_TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { type RunFixture, shellAgent } from "./fixture.ts";
import { projectsOf } from "./project-fixture.ts";

/** Each of several prompts takes seconds on a busy machine. */
export const LONG = 4 * SLOW_TEST_TIMEOUT_MS;
/** Says that it ran, and leaves something of each kind. */
export const SETUP = [
  "echo setting up",
  "mkdir -p node_modules/a/bin node_modules/empty",
  "date +%s%N > node_modules/a/made",
  "printf '#!/bin/sh\\necho installed\\n' > node_modules/a/bin/tool; chmod +x node_modules/a/bin/tool",
  "ln -s a/bin/tool node_modules/tool; ln node_modules/a/made node_modules/a/hard",
  'mkdir -p "$HOME/.cache/x"; echo cached > "$HOME/.cache/x/y"',
  "echo untracked > 'with space\tand tab'",
].join("\n");
export const WORK = `node_modules/tool; cat "$HOME/.cache/x/y" 'with space\tand tab'; [ -d node_modules/empty ] && echo whole
  [ node_modules/a/made -ef node_modules/a/hard ] && echo linked`;
export const USED = ["installed", "cached", "untracked", "whole", "linked"];

/** The environment of a worker that keeps them. */
export const KEEPS = { PREPARED_MAX_MB: "64" };

/** What the tests do with prepared checkouts; each begins without any. */
export function preparedOf(fixture: () => RunFixture) {
  const projects = projectsOf(fixture);
  const prepared = () => join(fixture().machine.dataDir, "prepared");
  const snapshots = async () =>
    (await readdir(prepared()).catch(() => [])).filter((name) => /^[0-9a-f]{64}$/.test(name));
  const depsFor = (script: string, more: Partial<RunnerDeps> = {}) =>
    projects.depsFor(shellAgent(script), more);
  let projectId = "";
  const setProject = async (
    change: ProjectChange,
    secrets: Record<string, string> = {},
    of: { userId?: string; path?: string } = {},
  ) => {
    projectId = (await projects.setProject(change, secrets, of)).id;
  };
  /** Keeps its id, as a change by its user does. */
  const change = async (values: Partial<typeof project.$inferInsert>) => {
    await fixture().database.orm.update(project).set(values).where(eq(project.id, projectId));
  };
  const run = async (script = WORK, more: Partial<RunnerDeps> = {}, promptId?: string) => {
    const submitted = promptId === undefined ? await fixture().submit() : undefined;
    const id = submitted?.promptId ?? promptId ?? "";
    await fixture().run(id, depsFor(script, more));
    const [texts, row] = [await fixture().textsOf(id), await fixture().promptRow(id)];
    return {
      sessionId: row?.sessionId ?? "",
      texts,
      row,
      all: texts.join("\n"),
      /** Whether the command was run, and whether the user reads that it was not. */
      ran: texts.includes("setting up"),
      skipped: texts.some((text) => text.startsWith("Setup skipped: its result was kept from 20")),
    };
  };
  const commit = async (path: string, text: string) => {
    const { repository } = fixture();
    await Bun.write(join(repository.path, path), text);
    await repository.git("add", "-A");
    await repository.git("-c", "user.name=A", "-c", "user.email=a@b", "commit", "-qm", path);
  };

  beforeEach(async () => {
    await rm(prepared(), { recursive: true, force: true });
  });
  const { projectOf, followUp } = projects;
  return { prepared, snapshots, projectOf, followUp, depsFor, setProject, change, run, commit };
}
