import {
  chmod,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  realpath,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { openUntrusted } from "../../shared/untrusted-file.ts";
import { removeTree } from "../remove-tree.ts";
import { removeOldUsers, userMounts } from "./etc-users.ts";
import { inSystem } from "./system-mounts.ts";

/**
 * The /etc of sandboxes: copies of what programs need of this machine's, as far as everybody may read it, and files of the
 * sandbox's own. Copies, because each mount more makes the start of every program slower: forty cost as much as starting
 * bubblewrap twice. A file that appears in /etc during a run, or is replaced there, is not in it.
 */

/** What programs need of /etc. A list of what is hidden would miss files that appear during a run. */
const ETC_ALLOWED = [
  ...["ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "localtime", "timezone", "locale.alias"],
  ...["locale.conf", "default/locale", "ssl/certs", "ssl/cert.pem", "ssl/openssl.cnf", "ca-certificates"],
  ...["ca-certificates.conf", "pki/tls/certs", "pki/tls/cert.pem", "pki/tls/openssl.cnf", "pki/ca-trust"],
  ...[
    "crypto-policies",
    "gai.conf",
    "host.conf",
    "protocols",
    "services",
    "mime.types",
    "magic",
    "magic.mime",
  ],
  ...["os-release", "debian_version", "lsb-release", "alpine-release", "redhat-release", "fonts", "terminfo"],
  ...["profile", "profile.d", "bash.bashrc", "bashrc", "inputrc", "perl", "papersize", "xattr.conf"],
];
/** Folders with a version in their names. */
const ETC_VERSIONED = /^(python[0-9.]*|java-[0-9]+-openjdk|php|ruby|R)$/;

/** Files of /etc that the sandbox has of its own. There is no name server: the gateway resolves names. */
const ETC_OWN = {
  hosts: "127.0.0.1 localhost sandbox\n::1 localhost ip6-localhost ip6-loopback\n",
  hostname: "sandbox\n",
  "resolv.conf": "# No name server: the HTTP and SOCKS5 proxy resolves names.\n",
  "nsswitch.conf":
    "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\nprotocols: files\n",
  // Mount points: each program's own are mounted there.
  passwd: "",
  group: "",
};

const DEPTH = 8;
/** The names that `replace` gives, and how long it may take. */
const DRAFT = /\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const DRAFT_MS = 60_000;

/** Where the copies are, for `writeEtc`. */
export const etcFolder = (dataDir: string) => join(dataDir, "sandbox-etc");
const treeIn = (folder: string) => join(folder, "etc");

/**
 * Makes the tree, or brings it up to date: certificates change while the service runs. What has not changed is not touched,
 * and what has is never there half, since programs that run see this very tree.
 * @param folder `etcFolder`. @param source for tests.
 */
export async function writeEtc(folder: string, source = "/etc"): Promise<void> {
  const tree = treeIn(folder);
  // A folder that only bwrap enters: the program's user reads the tree through a mount.
  await mkdir(folder, { recursive: true, mode: 0o700 });
  // No program has seen a new tree: its files need no drafts, which take half of the time.
  const put = (await makeFolder(tree)) ? create : replace;
  const wanted = new Set<string>();
  const versioned = (await readdir(source)).filter((one) => ETC_VERSIONED.test(one));
  for (const name of [...ETC_ALLOWED, ...versioned]) {
    if (!(await copy({ from: join(source, name), to: join(tree, name), depth: 0, wanted, put }))) continue;
    for (let above = dirname(name); above !== "."; above = dirname(above)) wanted.add(join(tree, above));
  }
  for (const [name, text] of Object.entries(ETC_OWN)) {
    const file = join(tree, name);
    wanted.add(file);
    if ((await readFile(file, "utf8").catch(() => undefined)) !== text)
      await put(file, (path) => writeFile(path, text, { flag: "wx" }));
  }
  await removeOthers(tree, wanted);
  await removeOldUsers(folder);
}

/** @returns whether it is, or was already, in the tree. `wanted` gets all paths that belong there. */
async function copy(options: {
  from: string;
  to: string;
  depth: number;
  wanted: Set<string>;
  put: Put;
}): Promise<boolean> {
  const { from, to, depth, wanted, put } = options;
  const found = await lstat(from).catch(() => undefined);
  if (!found) return false;
  if (found.isSymbolicLink()) {
    // Further down they lead to other entries, or into the system's folders; what leads elsewhere leads nowhere inside.
    const target = depth > 0 ? await readlink(from) : await visibleTarget(from);
    if (target === undefined) return false;
    if (depth === 0) await makeFolder(dirname(to));
    wanted.add(to);
    if ((await readlink(to).catch(() => undefined)) !== target)
      await put(to, (path) => symlink(target, path));
    return true;
  }
  if (found.isFile()) {
    if (!(await copyFile(options))) return false;
    wanted.add(to);
    return true;
  }
  if (!found.isDirectory() || (found.mode & 0o005) !== 0o005 || depth >= DEPTH) return false;
  await makeFolder(to);
  wanted.add(to);
  for (const name of await readdir(from))
    await copy({ ...options, from: join(from, name), to: join(to, name), depth: depth + 1 });
  return true;
}

/** @returns false if not everybody may read it. */
async function copyFile({ from, to, depth, put }: Parameters<typeof copy>[0]): Promise<boolean> {
  const file = await openUntrusted(from);
  if (!file) return false;
  try {
    const { mode, size, mtime } = await file.stat();
    if ((mode & 0o004) === 0) return false;
    const known = await lstat(to).catch(() => undefined);
    if (known?.isFile() && known.size === size && known.mtimeMs === Math.trunc(mtime.getTime())) return true;
    const content = await file.readFile();
    if (depth === 0) await makeFolder(dirname(to));
    await put(to, async (path) => {
      await writeFile(path, content, { flag: "wx" });
      // Whatever the umask.
      await chmod(path, 0o644 | (mode & 0o111));
      // Last: an update replaces what was not finished.
      await utimes(path, mtime, mtime);
    });
    return true;
  } finally {
    await file.close();
  }
}

/** Where a link of the list leads, if everybody may read that, and programs see it: on NixOS all of /etc are links. */
async function visibleTarget(path: string): Promise<string | undefined> {
  const found = await stat(path).catch(() => undefined);
  if (!found || !(found.isFile() || found.isDirectory()) || (found.mode & 0o004) === 0) return undefined;
  const real = await realpath(path);
  return inSystem(real) ? real : undefined;
}

/** @returns whether it is new. */
async function makeFolder(folder: string): Promise<boolean> {
  const made = await mkdir(folder, { recursive: true, mode: 0o755 });
  await chmod(folder, 0o755);
  return made !== undefined;
}

/** @param write creates what is not there. */
type Put = (path: string, write: (path: string) => Promise<void>) => Promise<void>;

const create: Put = (path, write) =>
  write(path).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw error;
    // Another process of this DATA_DIR starts too, and its programs may have seen it.
    await replace(path, write);
  });

const replace: Put = async (path, write) => {
  const draft = `${path}.${crypto.randomUUID()}`;
  try {
    await write(draft);
    // A folder is never replaced by a file of the same name.
    if ((await lstat(path).catch(() => undefined))?.isDirectory()) await removeTree(path);
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
};

async function removeOthers(folder: string, wanted: ReadonlySet<string>): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (!wanted.has(path)) {
      if (!(await isDraft(path))) await removeTree(path);
    } else if (entry.isDirectory()) await removeOthers(path, wanted);
  }
}

/** Of another process that is about to rename it; one that was killed leaves it, and it is old at some update. */
async function isDraft(path: string): Promise<boolean> {
  if (!DRAFT.test(path)) return false;
  const changed = (await lstat(path).catch(() => undefined))?.ctimeMs ?? Date.now();
  return Date.now() - changed < DRAFT_MS;
}

/** bwrap's arguments for /etc, as the program of this user sees it. */
export function etcMounts(folder: string, uid: number): string[] {
  return ["--ro-bind", treeIn(folder), "/etc", ...userMounts(folder, uid)];
}
