import { existsSync } from "node:fs";
import { lstat, mkdir, open, readdir, rename, rm, stat, statfs } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Logger } from "../../observability/logger.ts";
import { messageOf } from "../../shared/errors.ts";
import { retry } from "../../shared/time.ts";
import { removeTree } from "../remove-tree.ts";
import type { DiskSpace, DiskUsage, QuotaMethod } from "./quotas.ts";

const INODE_BYTES = 256;
/** A journal of 4 MiB, bitmaps and the like. */
const OVERHEAD_BYTES = 5 * 1024 * 1024;
const OVERHEAD_SHARE = 1 / 256;
const TOOL_TIMEOUT_MS = 30_000;
/** What is older than this was left behind by a process that was killed: making and mounting take two tools at most. */
const LEFT_BEHIND_MS = 3 * TOOL_TIMEOUT_MS;
/** Until the one is made that the next sandbox takes: it would take the processor from the one that has taken the last. */
const SPARE_DELAY_MS = 500;
/** Its start is in the name: the file system in it may be an older one. */
const TRIAL = /^trial-(?<began>\d+)-[0-9a-f-]+(\.img)?$/;
const DRAFT = "draft-";

/** The sparse file beside the folder that it is mounted on. */
const imageOf = (folder: string) => `${folder}.img`;

/**
 * A file system for each sandbox, in a sparse file that is mounted on the sandbox's folder. Making one takes some tens of
 * milliseconds, therefore one is made ahead.
 * @returns undefined where this process may not mount, or has no tools for it.
 */
export async function probeSizedFiles(options: {
  root: string;
  path: string;
  limits: DiskUsage;
  logger: Logger;
}): Promise<QuotaMethod | undefined> {
  const { root, path, limits, logger } = options;
  if (process.getuid?.() !== 0 || !existsSync("/dev/loop-control")) return undefined;
  if (!["mkfs.ext4", "mount", "umount"].every((name) => Bun.which(name, { PATH: path }))) return undefined;
  // Only this mount finds out that a file has a loop device already: two of them would destroy its contents.
  if (!(await run(path, ["mount", "--version"]).catch(() => "")).includes("util-linux")) return undefined;
  // On the same file system as the sandboxes, so that it can be moved there.
  const spares = join(dirname(root), "spare-disks");
  const spare = join(spares, `${limits.bytes}.img`);

  const size = Math.ceil(limits.bytes * (1 + OVERHEAD_SHARE) + limits.files * INODE_BYTES + OVERHEAD_BYTES);

  /** Appears complete or not at all. */
  const make = async (file: string) => {
    const draft = join(spares, `${DRAFT}${crypto.randomUUID()}`);
    try {
      const handle = await open(draft, "wx", 0o600);
      await handle.truncate(size).finally(() => handle.close());
      const settings = "lazy_itable_init=1,lazy_journal_init=1,nodiscard";
      await run(path, [
        // It is for another run than the one that is starting now.
        ...(file === spare ? ["nice", "-n", "19"] : []),
        ...["mkfs.ext4", "-q", "-F", "-m", "0", "-J", "size=4", "-N", `${limits.files}`],
        ...["-E", settings, draft],
      ]);
      await rename(draft, file);
    } finally {
      await rm(draft, { force: true });
    }
  };
  let isDue = false;
  const makeSpareLater = () => {
    if (isDue) return;
    isDue = true;
    setTimeout(async () => {
      await make(spare).catch((error: unknown) =>
        logger.warn("a file system for the next sandbox could not be made", { error: messageOf(error) }),
      );
      isDue = false;
    }, SPARE_DELAY_MS).unref();
  };

  const method: QuotaMethod = {
    kind: "image",
    detail: "each sandbox has a file system of its own, in a sparse file",
    enforced: true,
    async open({ folder }) {
      const image = imageOf(folder);
      if (await isMounted(folder)) return;
      if (!existsSync(image)) {
        // Opened before this process chose to mount: its contents must not be hidden.
        if ((await readdir(folder)).length > 0) return;
        // A spare of another process on this DATA_DIR is as good.
        await rename(spare, image).catch(() => make(image));
        makeSpareLater();
      }
      await run(path, ["mount", "-t", "ext4", "-o", "loop,nosuid,nodev,noatime,discard", image, folder]);
    },
    async counted({ folder }) {
      if (!(await isMounted(folder))) return { bytes: 0, files: 0 };
      const { blocks, bfree, bavail, bsize, files, ffree } = await statfs(folder);
      // What is not there for programs is used, whatever for.
      const bytes = Math.max((blocks - bfree) * bsize, limits.bytes - bavail * bsize);
      return { bytes, files: files - ffree };
    },
    walked: ({ folder, state }) => (existsSync(imageOf(folder)) ? [state] : [folder, state]),
    async intact({ folder }) {
      if (!(await isMounted(folder))) return true;
      // Writes out what is still in memory, and tells the errors of all that was written out before.
      const failure = await run(path, ["sync", "-f", "--", folder]).then(
        () => "",
        (error: unknown) => messageOf(error),
      );
      return !/input\/output error|no space|read-only file system/i.test(failure);
    },
    release: ({ folder }) => releaseSizedFile({ folder, path }),
  };

  const releaseTrial = async (folder: string) => {
    await releaseSizedFile({ folder, path });
    await rm(folder, { recursive: true, force: true });
  };
  /** Those of processes that were killed meanwhile: no sandbox's id leads to them. */
  const releaseTrials = async () => {
    for (const name of await readdir(root)) {
      const began = TRIAL.exec(name)?.groups?.["began"];
      if (began !== undefined && Date.now() - Number(began) > LEFT_BEHIND_MS)
        await releaseTrial(join(root, name.replace(/\.img$/, ""))).catch(() => undefined);
    }
  };
  const trial = join(root, `trial-${Date.now()}-${crypto.randomUUID()}`);
  try {
    await mkdir(spares, { recursive: true, mode: 0o700 });
    for (const name of await readdir(spares))
      if (join(spares, name) !== spare && !(await isInTheMaking(join(spares, name))))
        await rm(join(spares, name), { force: true });
    await releaseTrials();
    await mkdir(trial, { mode: 0o700 });
    await method.open({ id: "", folder: trial, state: "" });
    return method;
  } catch (error) {
    logger.debug("no file system can be mounted for a sandbox", { error: messageOf(error) });
    return undefined;
  } finally {
    await releaseTrial(trial).catch(() => undefined);
  }
}

/** Whether another process on this DATA_DIR may be making this spare. */
async function isInTheMaking(file: string): Promise<boolean> {
  const made = (await stat(file).catch(() => undefined))?.mtimeMs ?? 0;
  return basename(file).startsWith(DRAFT) && Date.now() - made < LEFT_BEHIND_MS;
}

/** Unmounts and removes what `open` made. Idempotent. */
export async function releaseSizedFile(options: Pick<DiskSpace, "folder"> & { path: string }): Promise<void> {
  const { folder, path } = options;
  const mounted = await isMounted(folder);
  // Mounted without a file: by a process that was killed meanwhile, whose `mount` went on.
  if (!mounted && !existsSync(imageOf(folder))) return;
  if (mounted) {
    // Only to save time: unmounting would write to the disk what is thrown away anyway.
    await empty(folder).catch(() => undefined);
    // What was killed just now may still be ending, with its files open: some seconds on a busy machine.
    await retry(() => run(path, ["umount", "--", folder]), {
      ...{ tries: 8, firstMs: 20, maxMs: 2_000 },
      when: ({ message }) => /target is busy/.test(message),
    });
  }
  await rm(imageOf(folder), { force: true });
}

async function empty(folder: string): Promise<void> {
  const deadline = performance.now() + TOOL_TIMEOUT_MS;
  for (const name of await readdir(folder)) {
    const left = deadline - performance.now();
    if (left <= 0) return;
    await removeTree(join(folder, name), left);
  }
}

/**
 * Whether a file system is mounted on this folder, in the mount namespace of this process: then it has another device than the
 * folder above. Each sandbox asks several times a second, and the list of all mounts grows with the sandboxes.
 */
async function isMounted(folder: string): Promise<boolean> {
  const [own, above] = await Promise.all(
    [folder, dirname(folder)].map((one) =>
      lstat(one).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== "ENOENT") throw error;
      }),
    ),
  );
  return own !== undefined && own.dev !== above?.dev;
}

async function run(
  path: string,
  [name, ...args]: readonly [string, ...string[]] | string[],
): Promise<string> {
  const program = Bun.which(name ?? "", { PATH: path });
  if (!program) throw new Error(`${name} is not installed`);
  const child = Bun.spawn([program, ...args], {
    env: { PATH: path, LC_ALL: "C" },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: TOOL_TIMEOUT_MS,
    killSignal: "SIGKILL",
  });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (child.exitCode === 0) return out;
  throw new Error(`${name} failed: ${err.trim().slice(0, 500) || `exit code ${child.exitCode}`}`);
}
