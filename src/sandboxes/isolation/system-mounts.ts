import {
  chmodSync,
  existsSync,
  lstatSync,
  readlinkSync,
  realpathSync,
  renameSync,
  type Stats,
  statSync,
  writeFileSync,
} from "node:fs";
import { chmod, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { INSIDE } from "./inside.ts";

/** Mounted read-only, whole. Nothing else of the machine (home directories, DATA_DIR, /var, /run, /srv) is visible. */
const SYSTEM = ["/usr", "/opt", "/nix", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

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
};

/** bwrap's arguments for the system's folders, and the folders that are not its own, in which links may lead. */
export function systemMounts(): string[] {
  return SYSTEM.filter((path) => existsSync(path)).flatMap((path) =>
    lstatSync(path).isSymbolicLink() ? ["--symlink", readlinkSync(path), path] : ["--ro-bind", path, path],
  );
}

/** Whether a path is in a folder of `systemMounts`. */
export const inSystem = (path: string) => SYSTEM.some((root) => path === root || path.startsWith(`${root}/`));

/**
 * bwrap's arguments for /etc: files and folders of the list, as far as everybody may read them and they are not links
 * to elsewhere; and the sandbox's own files.
 * @param names of the entries of /etc.
 */
export function etcMounts(names: readonly string[], ownFolder: string): string[] {
  const allowed = [...ETC_ALLOWED, ...names.filter((one) => ETC_VERSIONED.test(one))];
  const etc = allowed.flatMap((name) => {
    const path = join("/etc", name);
    const real = visibleTarget(path);
    if (real === undefined) return [];
    // Programs read the time zone's name from the link.
    return real === path ? ["--ro-bind-try", path, path] : ["--symlink", real, path];
  });
  const own = Object.keys(ETC_OWN).flatMap((name) => [
    "--ro-bind",
    join(ownFolder, name),
    join("/etc", name),
  ]);
  return [...foldersAbove(allowed.map((name) => join("/etc", name))), ...etc, ...own];
}

/** bwrap's arguments for the folders above mount points. Those that bwrap makes by itself only root can enter. */
export function foldersAbove(targets: readonly string[]): string[] {
  const above = targets.flatMap((target) => {
    const parts = target.split("/").slice(1, -1);
    return parts.map((_, index) => `/${parts.slice(0, index + 1).join("/")}`);
  });
  return [...new Set(above)].filter((path) => !inSystem(path)).flatMap((path) => ["--dir", path]);
}

/** Folders of /etc that are mounted whole. */
export const etcFolders = (): string[] =>
  ETC_ALLOWED.map((name) => join("/etc", name)).filter((path) => statOf(path)?.isDirectory());

/** The real path, if everybody may read it and it is where the allowed things are. */
function visibleTarget(path: string): string | undefined {
  const found = statOf(path);
  if (!found || !(found.isFile() || found.isDirectory()) || (found.mode & 0o004) === 0) return undefined;
  const real = realpathSync(path);
  // On NixOS all of /etc are links into the store.
  return real === path || inSystem(real) ? real : undefined;
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}

/** Writes the sandbox's own files, the same for all sandboxes. */
export async function writeOwnEtc(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  for (const [name, text] of Object.entries(ETC_OWN)) await writeReadable(join(folder, name), text);
}

/** Files that everybody may read, in a folder that only bwrap enters: the program's user reads them through a mount. */
async function writeReadable(file: string, text: string): Promise<void> {
  // Sandboxes that run see this very file, and must not find it empty for a moment.
  if ((await readFile(file, "utf8").catch(() => undefined)) === text) return;
  const draft = `${file}.${crypto.randomUUID()}`;
  await writeFile(draft, text);
  // Whatever the umask.
  await chmod(draft, 0o644);
  await rename(draft, file);
}

/** Many programs look up their own user and fail if there is none. @returns the mounts' arguments. */
export function accountMounts(folder: string, uid: number): string[] {
  const files = { passwd: join(folder, `passwd-${uid}`), group: join(folder, `group-${uid}`) };
  const texts = {
    passwd: `agent:x:${uid}:${uid}::${INSIDE.home}:/bin/sh\n${uid === 0 ? "" : "root:x:0:0:root:/root:/bin/sh\n"}nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n`,
    group: `agent:x:${uid}:\n${uid === 0 ? "" : "root:x:0:\n"}nogroup:x:65534:\n`,
  };
  return (["passwd", "group"] as const).flatMap((name) => {
    if (!existsSync(files[name])) {
      // In two steps, because another process may start a program of the same user meanwhile.
      const draft = `${files[name]}.${crypto.randomUUID()}`;
      writeFileSync(draft, texts[name]);
      chmodSync(draft, 0o644);
      renameSync(draft, files[name]);
    }
    return ["--ro-bind", files[name], join("/etc", name)];
  });
}
