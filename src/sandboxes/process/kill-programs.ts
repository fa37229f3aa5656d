import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Cgroups } from "./cgroup.ts";
import { killNamespace, readNamespace } from "./namespace.ts";
import { isOwned } from "./owned-groups.ts";
import { killMarked, MARKER, PROCESS_MARKER } from "./processes.ts";
import type { SandboxRef } from "./sandbox-process.ts";
import { PROCESS_FOLDER, type ProcessFiles, processFiles } from "./supervisor.ts";

/**
 * Kills everything that a program has started. With neither namespace nor group, the mark in the environment is what is
 * left to find it by.
 */
export async function killProgram(
  sandbox: SandboxRef,
  files: ProcessFiles,
  processId: string,
): Promise<void> {
  await killNamespace(await readNamespace(files));
  await sandbox.cgroups?.of(processId).kill();
  if (!sandbox.isolated && !sandbox.cgroups) await killMarked(PROCESS_MARKER, processId);
}

/** Kills every program of a sandbox and removes their control groups. */
export async function killPrograms(sandbox: SandboxRef): Promise<void> {
  for (const id of await processIdsIn(sandbox.folder)) {
    await killProgram(sandbox, processFiles(sandbox.folder, id), id);
    await sandbox.cgroups?.of(id).remove();
  }
  if (!sandbox.isolated && !sandbox.cgroups) await killMarked(MARKER, sandbox.id);
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

async function processIdsIn(sandboxFolder: string): Promise<string[]> {
  const names = await readdir(sandboxFolder).catch(() => []);
  return names.flatMap((name) => PROCESS_FOLDER.exec(name)?.groups?.["id"] ?? []);
}
