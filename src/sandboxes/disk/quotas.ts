import type { Logger } from "../../observability/logger.ts";
import { openProjectCalls } from "./native.ts";
import { probeProjectQuota } from "./project-quota.ts";
import { probeSizedFiles, releaseSizedFile } from "./sized-files.ts";
import { watchedSpaces } from "./watched.ts";

/** The disk space of one sandbox. */
export interface DiskSpace {
  id: string;
  /** Holds checkout, home, tmp and state, and nothing that the service writes for itself. */
  folder: string;
  /** The conversation, which outlives the sandbox and counts all the same. */
  state: string;
}

export interface DiskUsage {
  bytes: number;
  files: number;
}

/** One way to limit the disk space of sandboxes. */
export interface QuotaMethod {
  readonly kind: "project" | "image" | "watch";
  /** A sentence for the doctor and /health/detail. */
  readonly detail: string;
  /** Whether the kernel refuses what is beyond the limit; else only watching ends a run. */
  readonly enforced: boolean;
  /** Limits the folder, which exists. Idempotent: also after a restart of the machine. */
  open(space: DiskSpace): Promise<void>;
  /** What the kernel counts of the space; cheap. */
  counted(space: DiskSpace): Promise<DiskUsage>;
  /** What only a walk over the tree can count. */
  walked(space: DiskSpace): readonly string[];
  /**
   * Whether all that was written in the space is there, as far as is known; false is said once, or for ever if nothing more
   * can be written. A file system in a sparse file takes its space late: on a full disk it loses what programs have written
   * without an error, and if that is its journal, it ends.
   */
  intact(space: DiskSpace): Promise<boolean>;
  /** Empties and frees the folder; its processes have ended. Idempotent. */
  release(space: Pick<DiskSpace, "id" | "folder">): Promise<void>;
}

/** Limits what each sandbox takes of the disk: RUN_DISK_MB, in every phase of a run. */
export interface DiskQuotas
  extends Pick<QuotaMethod, "kind" | "detail" | "enforced" | "open" | "intact" | "release"> {
  /** Bytes that one sandbox may take. */
  readonly limit: number;
  /** Bytes that the sandbox takes. */
  used(space: DiskSpace): Promise<number>;
  /** Whether the sandbox has reached its limit, measured now. */
  isFull(space: DiskSpace): Promise<boolean>;
  /** Whether work in the sandbox failed with this error because the sandbox has reached its limit. */
  explains(space: DiskSpace, error: unknown): Promise<boolean>;
  /** Calls `onFull` once, at most about 250 ms after the sandbox has reached its limit. */
  watch(space: DiskSpace, onFull: () => void): { stop(): void };
}

/** One file per 16 KiB, which is what ext4 has for a disk of that size. */
const BYTES_PER_FILE = 16_384;

/**
 * Chooses how: a project quota where the file system of DATA_DIR has them, else a file system of its own for each sandbox
 * where this process may mount one, else watching.
 * @param options.root DATA_DIR/sandboxes.
 */
export async function openDiskQuotas(options: {
  root: string;
  path: string;
  limit: number;
  logger: Logger;
}): Promise<DiskQuotas> {
  const { root, path, limit, logger } = options;
  const limits: DiskUsage = { bytes: limit, files: Math.ceil(limit / BYTES_PER_FILE) };
  const programs = `${path}:/usr/sbin:/sbin`;
  const method =
    probeProjectQuota({ root, limits, calls: openProjectCalls() }) ??
    (await probeSizedFiles({ root, path: programs, limits, logger })) ??
    WATCHING;
  const spaces = watchedSpaces({ method, root, path: programs, limits, logger });
  return {
    kind: method.kind,
    detail: method.detail,
    enforced: method.enforced,
    limit,
    open: method.open,
    intact: method.intact,
    ...spaces,
    async release(space) {
      await method.release(space);
      // Made before this process chose another method.
      if (method.kind !== "image") await releaseSizedFile({ ...space, path: programs });
    },
  };
}

const WATCHING: QuotaMethod = {
  kind: "watch",
  detail:
    "the disk space of sandboxes is only watched; a file system with project quotas (mounted with prjquota) or a service that may mount makes the limit exact",
  enforced: false,
  open: async () => undefined,
  counted: async () => ({ bytes: 0, files: 0 }),
  walked: ({ folder, state }) => [folder, state],
  intact: async () => true,
  release: async () => undefined,
};
