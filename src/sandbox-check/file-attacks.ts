import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Attack, all, blocked, open, untried } from "./attack.ts";
import { namesIn, pids, unreadable, unseen, unwritable } from "./look.ts";

/** Host paths of what is mounted here, as /proc/self/mountinfo names them. */
function hostPaths(): string[] {
  return (
    readFileSync("/proc/self/mountinfo", "utf8")
      .split("\n")
      .map((line) => line.split(" "))
      .filter(
        ([, , , root = "/", at = ""]) =>
          root !== "/" && /^\/(workspace|tmp|home\/agent|home\/agent\/.agent)$/.test(at),
      )
      .map(([, , , root = ""]) => root)
      // Of a sandbox with a file system of its own it is the path in that, which says nothing.
      .filter((root) => root.split("/").length > 3)
  );
}

export const FILE_ATTACKS: readonly Attack[] = [
  {
    id: "file-data-dir",
    title: "read a file of DATA_DIR by its path on the host",
    stoppedBy: "mount namespace",
    harmless: true,
    inside: ({ dataDir, secretFile }) =>
      all([
        unseen(secretFile),
        unseen(join(dataDir, "local-issuer.key")),
        unseen(join(dataDir, "provenance.key")),
        unseen(dataDir),
      ]),
  },
  {
    id: "file-other-sandbox",
    title: "read another tenant's checkout, home and temporary files",
    stoppedBy: "mount namespace",
    inside: ({ otherFolder }) =>
      all(["checkout", "home", "tmp"].map((one) => unseen(join(otherFolder, one)))),
  },
  {
    id: "file-own-journal",
    title: "reach the journal and the notes of one's own run by their path on the host",
    stoppedBy: "mount namespace",
    inside: ({ ownFolder }) => all([unseen(ownFolder), unseen(join(ownFolder, "notes.json"))]),
  },
  {
    id: "file-mountinfo",
    title: "follow the host paths that /proc/self/mountinfo names",
    stoppedBy: "mount namespace",
    inside: () =>
      all([
        blocked("no path leads out"),
        ...hostPaths().flatMap((one) => [unseen(one), unseen(dirname(one))]),
      ]),
  },
  {
    id: "file-shadow",
    title: "read password hashes, host keys and sudo's rules in /etc",
    stoppedBy: "list of allowed files of /etc",
    inside: () =>
      all(
        ["/etc/shadow", "/etc/gshadow", "/etc/shadow-", "/etc/sudoers", "/etc/ssh/ssh_host_ed25519_key"].map(
          unreadable,
        ),
      ),
  },
  {
    id: "file-new-in-etc",
    title: "read a root-only file that was made in /etc after the service's start",
    stoppedBy: "list of allowed files of /etc",
    inside: ({ etcSecret }) =>
      etcSecret === undefined ? untried("the service may not write to /etc") : all([unreadable(etcSecret)]),
  },
  {
    id: "file-beside-program",
    title: "read a 0600 file that lies beside the agent's program",
    stoppedBy: "only the program's own files are mounted",
    inside: ({ besideProgram }) => unreadable(besideProgram),
  },
  {
    id: "file-home-of-host",
    title: "list home directories, /root, /var, /srv and /run of the host",
    stoppedBy: "mount namespace",
    inside: () =>
      all(
        [
          "/root",
          "/home",
          "/var/lib",
          "/var/log",
          "/var/spool/cron",
          "/srv",
          "/run/systemd",
          "/run/docker.sock",
          "/boot",
          "/mnt",
        ].map((folder) => {
          const names = existsSync(folder) ? namesIn(folder).filter((one) => one !== "agent") : [];
          return names.length > 0
            ? open(`${folder}: ${names.slice(0, 3).join(", ")}`)
            : blocked(`${folder}: nothing there`);
        }),
      ),
  },
  {
    id: "file-write-system",
    title: "write to the system's folders",
    stoppedBy: "read-only mounts",
    inside: () => all(["/", "/usr", "/usr/bin", "/etc", "/opt", "/usr/local/bin", "/lib"].map(unwritable)),
  },
  {
    id: "file-proc-root",
    title: "leave through /proc/<pid>/root, cwd and fd of every process in sight",
    stoppedBy: "PID namespace",
    inside: ({ secretFile }) =>
      all([
        blocked("no process leads out"),
        ...pids().flatMap((pid) => [
          unseen(`/proc/${pid}/root${secretFile}`),
          unseen(`/proc/${pid}/cwd/../../../../../../..${secretFile}`),
        ]),
      ]),
  },
];
