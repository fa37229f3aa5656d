import { readdirSync } from "node:fs";
import { join } from "node:path";
import { removeTree } from "../remove-tree.ts";
import type { ProjectCalls } from "./native.ts";
import type { DiskUsage, QuotaMethod } from "./quotas.ts";

/** Projects are chosen from these: others on this file system are left alone. */
const PROJECTS = { first: 0x5000_0000, count: 0x1000_0000 };
/** A conversation has few files; who has made more counts with those. */
const MAX_STATE_FILES = 10_000;

/**
 * Project quotas of ext4, XFS or f2fs: each sandbox is a project with hard limits. The project is an attribute of the folder,
 * so that nothing else remembers it. A program in the sandbox must not be able to change it: the seccomp filter refuses
 * FS_IOC_FSSETXATTR, FS_IOC_SETFLAGS and file_setattr.
 * @returns undefined where the file system of `root` does not enforce them, or this process may not set them.
 */
export function probeProjectQuota(options: {
  root: string;
  limits: DiskUsage;
  calls: ProjectCalls | undefined;
}): QuotaMethod | undefined {
  const { root, limits, calls } = options;
  if (!calls?.enforced(root)) return undefined;
  // Taking away the limit of a project that nothing belongs to: whether it may be done at all.
  if (!calls.setLimits(root, PROJECTS.first, { bytes: 0, files: 0 })) return undefined;

  /** A project without files. Of two processes that choose at the same time, both choose the same once in 10⁸ times. */
  const freeProject = () => {
    for (;;) {
      const project = PROJECTS.first + 1 + Math.floor(Math.random() * (PROJECTS.count - 1));
      const usage = calls.usageOf(root, project);
      if (!usage || usage.files === 0) return project;
    }
  };
  /** The project of a folder, if it is one of ours: 0 is everybody's. */
  const projectOf = (folder: string) => {
    const project = calls.projectOf(folder);
    return project !== undefined && project > PROJECTS.first ? project : undefined;
  };
  const mustSet = (path: string, project: number) => {
    if (!calls.setProject(path, project)) throw new Error(`the disk quota of ${path} could not be set`);
  };

  return {
    kind: "project",
    detail: "each sandbox has a project quota on the file system of DATA_DIR",
    enforced: true,
    async open({ folder, state }) {
      // Made before there were projects: its files would not be in it. It is watched.
      if (projectOf(folder) === undefined && readdirSync(folder).length > 0) return;
      const project = projectOf(folder) ?? freeProject();
      if (!calls.setLimits(root, project, limits)) throw new Error("a disk quota could not be set");
      mustSet(folder, project);
      mustSet(state, project);
      // What is in it already; a later file inherits. No program of the session runs now.
      for (const path of namesBelow(state)) calls.setProject(join(state, path), project);
    },
    async counted({ folder }) {
      const project = projectOf(folder);
      const usage = project === undefined ? undefined : calls.usageOf(root, project);
      return usage ?? { bytes: 0, files: 0 };
    },
    intact: async () => true,
    walked: ({ folder, state }) => (projectOf(folder) === undefined ? [folder, state] : []),
    async release({ folder }) {
      const project = projectOf(folder);
      await removeTree(folder);
      if (project !== undefined) calls.setLimits(root, project, { bytes: 0, files: 0 });
    },
  };
}

function namesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" }).slice(0, MAX_STATE_FILES);
}
