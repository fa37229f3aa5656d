import { mkdir, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "../../../src/observability/logger.ts";
import { type DiskQuotas, type DiskSpace, openDiskQuotas } from "../../../src/sandboxes/disk/quotas.ts";
import { removeFolder } from "../../harness/remove-folder.ts";

export const MIB = 1024 ** 2;
/** The quota of a sandbox in these tests. */
export const LIMIT = 16 * MIB;
/** An agent's user, when tests run as root. */
export const AGENT_UID = 210_000;
export const isRoot = process.getuid?.() === 0;
const PATH = process.env["PATH"] ?? "/usr/bin:/bin";

export interface QuotaFixture {
  quotas: DiskQuotas;
  folder: string;
  /** A new sandbox's space, opened, writable for the agent's user. */
  open(): Promise<DiskSpace>;
  /** Runs a shell script in the space as the agent would, without privileges. */
  run(space: DiskSpace, script: string): Promise<{ code: number; stderr: string }>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * @param options.folder where DATA_DIR is made; default: a temporary folder.
 * @param options.path without the tools to mount, sandboxes are only watched.
 */
export async function openQuotaFixture(
  options: { folder?: string; path?: string } = {},
): Promise<QuotaFixture> {
  const { path = PATH } = options;
  const folder = await mkdtemp(join(options.folder ?? tmpdir(), "pb-disk-"));
  const root = join(folder, "sandboxes");
  await mkdir(root);
  await Bun.$`chmod 755 ${folder}`.quiet();
  const quotas = await openDiskQuotas({
    root,
    path,
    limit: LIMIT,
    logger: createLogger({ level: "silent" }),
  });
  return {
    quotas,
    folder,
    async open() {
      const id = crypto.randomUUID();
      const space = { id, folder: join(root, id, "disk"), state: join(folder, "conversations", id) };
      for (const one of [space.folder, space.state]) await mkdir(one, { recursive: true });
      await quotas.open(space);
      if (isRoot) await Bun.$`chown ${AGENT_UID} ${space.folder} ${space.state}`.quiet();
      return space;
    },
    async run(space, script) {
      const drop = isRoot
        ? [
            "setpriv",
            "--reuid",
            `${AGENT_UID}`,
            "--clear-groups",
            "--inh-caps=-all",
            "--bounding-set=-all",
            "--",
          ]
        : [];
      const child = Bun.spawn([...drop, "sh", "-c", script], {
        cwd: space.folder,
        env: { PATH, STATE: space.state, LC_ALL: "C" },
        stderr: "pipe",
        stdout: "ignore",
      });
      const [stderr, code] = await Promise.all([child.stderr.text(), child.exited]);
      return { code, stderr };
    },
    [Symbol.asyncDispose]: () => removeFolder(folder),
  };
}

/** Every program of PATH except those of `without`, in a new folder below `folder`. */
export async function pathWithout(folder: string, without: readonly string[]): Promise<string> {
  const bin = join(folder, "bin");
  await Bun.$`mkdir -p ${bin} && ln -sf /usr/bin/* /bin/* ${bin}/`.quiet().nothrow();
  for (const name of without) await Bun.$`rm -f ${join(bin, name)}`.quiet();
  return bin;
}
