import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Cgroups } from "./cgroup.ts";
import { killNamespace, readNamespace } from "./namespace.ts";
import { isOwned } from "./owned-groups.ts";
import { killMarked, MARKER, PROCESS_MARKER } from "./processes.ts";
import type { SandboxRef } from "./sandbox-process.ts";
import { PROCESS_FOLDER, type ProcessFiles, processFiles } from "./supervisor.ts";

/** Kills everything that a program has started. */
export async function killProgram(
  sandbox: SandboxRef,
  files: ProcessFiles,
  processId: string,
): Promise<void> {
  if (!(await killContained(sandbox, files, processId))) await killMarked(PROCESS_MARKER, processId);
}

/** Kills every program of a sandbox and removes their control groups. */
export async function killPrograms(sandbox: SandboxRef): Promise<void> {
  let contained = sandbox.cgroups !== undefined;
  for (const id of await processIdsIn(sandbox.folder)) {
    if (!(await killContained(sandbox, processFiles(sandbox.folder, id), id))) contained = false;
    await sandbox.cgroups?.of(id).remove();
  }
  if (!contained) await killMarked(MARKER, sandbox.id);
}

/**
 * Kills what is in the namespace and in the group that a program was started with, whatever a program would be started
 * with today.
 * @returns false if it has neither: then the mark in the environment is what is left to find its processes by.
 */
async function killContained(sandbox: SandboxRef, files: ProcessFiles, id: string): Promise<boolean> {
  const namespace = await readNamespace(files);
  const group = sandbox.cgroups?.of(id);
  const contained = namespace !== undefined || group?.usage() !== undefined;
  await killNamespace(namespace);
  await group?.kill();
  return contained;
}

/**
 * Removes the control groups of programs whose sandbox is gone, with whatever is in them.
 * @param root the folder of all sandboxes of this machine.
 */
export async function sweepGroups(cgroups: Cgroups, root: string): Promise<void> {
  // In this order: a program's folder is there before its group.
  const groups = cgroups.list();
  if (groups.length === 0) return;
  const sandboxes = await readdir(root);
  const known = new Set((await Promise.all(sandboxes.map((id) => processIdsIn(join(root, id))))).flat());
  for (const id of groups.filter((one) => !known.has(one))) {
    if (await isOwned(id)) continue;
    await cgroups.of(id).kill();
    await cgroups.of(id).remove();
  }
}

/** @throws when that cannot be found out: a program that is not known is killed. */
async function processIdsIn(sandboxFolder: string): Promise<string[]> {
  const names = await readdir(sandboxFolder).catch((error: NodeJS.ErrnoException) => {
    // It is gone, or it is no sandbox's.
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return [];
    throw error;
  });
  return names.flatMap((name) => PROCESS_FOLDER.exec(name)?.groups?.["id"] ?? []);
}
