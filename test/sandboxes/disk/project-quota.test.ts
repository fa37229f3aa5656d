import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ProjectCalls } from "../../../src/sandboxes/disk/native.ts";
import { probeProjectQuota } from "../../../src/sandboxes/disk/project-quota.ts";

const limits = { bytes: 2 ** 24, files: 1_000 };
let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "pb-project-"));
});
afterEach(() => rm(root, { recursive: true }));

/** A kernel with project quotas, in memory. Like the kernel's, a project covers what is made in a folder later. */
function kernel(): ProjectCalls & { projects: Map<string, number> } {
  const projects = new Map<string, number>();
  return {
    projects,
    enforced: () => true,
    projectOf: (path) => projects.get(path) ?? 0,
    setProject: (path, project) => Boolean(projects.set(path, project)),
    setLimits: () => true,
    usageOf: () => ({ bytes: 7, files: 0 }),
  };
}

async function newSpace() {
  const space = { id: crypto.randomUUID(), folder: join(root, "disk"), state: join(root, "conversation") };
  for (const one of [space.folder, space.state]) await mkdir(one);
  return space;
}

function openMethod(calls: ProjectCalls) {
  const method = probeProjectQuota({ root, limits, calls });
  if (!method) throw new Error("no project quotas");
  return method;
}

test("a new sandbox is a project, which the kernel counts, also when it is reopened", async () => {
  const calls = kernel();
  const method = openMethod(calls);
  const space = await newSpace();
  await method.open(space);
  const project = calls.projects.get(space.folder);
  expect(project).toBeGreaterThan(0);
  await writeFile(join(space.folder, "file"), "x");
  await method.open(space);
  expect(calls.projects.get(space.folder)).toBe(project as number);
  expect(calls.projects.get(space.state)).toBe(project as number);
  expect(await method.counted(space)).toMatchObject({ bytes: 7 });
  expect(method.walked(space)).toEqual([]);
});

/** Cause: it became a project that covered none of its files, and nothing walked over it. */
test("a sandbox from before there were projects is watched", async () => {
  const calls = kernel();
  const method = openMethod(calls);
  const space = await newSpace();
  await writeFile(join(space.folder, "file"), "x");
  await method.open(space);
  expect(calls.projects.size).toBe(0);
  expect(await method.counted(space)).toEqual({ bytes: 0, files: 0 });
  expect(method.walked(space)).toEqual([space.folder, space.state]);
});
