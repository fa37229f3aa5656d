import { chmod, chown, copyFile, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CheckReport } from "../../src/sandbox-check/run.ts";
import { compiledBinary } from "../harness/binary.ts";

/** Nobody's number. */
const UID = 54321;
/** PATH without the folders of this checkout. */
const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export const isRoot = process.getuid?.() === 0;
export const TABLE_TIMEOUT_MS = 10 * 60_000;

export interface Check {
  code: number;
  report: CheckReport;
  /** Those that were not blocked, as `id: what was observed`. */
  open: string[];
  /** Those that could not be tried, likewise. */
  untried: string[];
  /** Those that should have been tried and were not, likewise. */
  failed: string[];
}

/**
 * Runs `prompt-backend sandbox-check` with the compiled executable and a DATA_DIR of its own.
 * @param options.user as an ordinary user, who can read nothing of this checkout.
 * @param options.before shell commands in a mount namespace of the check's own, before it starts.
 * @param options.chroot with another root folder, the same files: there the kernel allows no user namespaces.
 */
export async function runCheck(options: {
  only?: readonly string[];
  user?: boolean;
  before?: string;
  chroot?: boolean;
  env?: Record<string, string>;
}): Promise<Check> {
  const { only = [], user = false, before = ":", chroot = false, env = {} } = options;
  const folder = await mkdtemp(join(tmpdir(), "pb-check-"));
  try {
    const [binary, data, root] = [join(folder, "prompt-backend"), join(folder, "data"), join(folder, "root")];
    await copyFile(await compiledBinary(), binary);
    await mkdir(data, { mode: 0o700 });
    await mkdir(root);
    for (const one of [folder, binary]) await chmod(one, 0o755);
    if (user) await chown(data, UID, UID);
    const drop = user ? ["setpriv", "--reuid", `${UID}`, "--regid", `${UID}`, "--clear-groups", "--"] : [];
    const changed = chroot ? ["chroot", root] : [];
    const script = `${before} && ${chroot ? `mount --rbind / ${root} && ` : ""}exec "$@"`;
    const unshared = before === ":" && !chroot ? [] : ["unshare", "--mount", "--", "sh", "-c", script, "sh"];
    const child = Bun.spawn([...unshared, ...changed, ...drop, binary, "sandbox-check", "--json", ...only], {
      cwd: data,
      env: { PATH, HOME: data, DATA_DIR: data, AUTH_MODE: "local", ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    if (!out.startsWith("{")) throw new Error(`no report (exit code ${code}): ${out}${err}`);
    const report = JSON.parse(out) as CheckReport;
    const those = (result: string) =>
      report.results.filter((one) => one.result === result).map(({ id, observed }) => `${id}: ${observed}`);
    return {
      code,
      report,
      open: those("NOT BLOCKED"),
      untried: those("not applicable"),
      failed: those("failed"),
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
