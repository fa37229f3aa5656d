import type { Cgroup, Cgroups, RunResources } from "./cgroup.ts";
import { identify, isAlive } from "./identity.ts";

/** Names who made the group. It does not outlive the machine's boot, so that need not be in it. */
const OWNED = /^owned-(?<pid>\d+)-(?<started>\d+)-[0-9a-f-]+$/;

/** Makes groups for programs that end with the process that starts them: unlike a run's, they belong to no sandbox. */
export interface OwnedGroups {
  /** Of each of them. */
  readonly resources: RunResources;
  make(): Cgroup;
}

export function ownedGroups(cgroups: Cgroups, resources: RunResources): OwnedGroups {
  const { pid, started } = identify(process.pid);
  return {
    resources,
    make: () => cgroups.create(`owned-${pid}-${started}-${crypto.randomUUID()}`, resources),
  };
}

/** Whether a group belongs to a process that is still running, such as another command on this DATA_DIR. */
export async function isOwned(id: string): Promise<boolean> {
  const { pid, started } = OWNED.exec(id)?.groups ?? {};
  if (pid === undefined) return false;
  const { boot } = identify(process.pid);
  return isAlive({ pid: Number(pid), started: Number(started), boot });
}
