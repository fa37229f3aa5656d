import { MIB } from "../../shared/units.ts";
import { egressRules } from "../egress-rules.ts";
import { flag, folders, hostList, integer, oneOf, prefix, uidRange } from "../parsers.ts";
import type { Rows } from "../rows.ts";

/** How closed a sandbox is. */
export const isolation = {
  /** Agents may run although this machine cannot isolate them. */
  allowUnisolated: {
    env: "ALLOW_UNISOLATED_AGENTS",
    default: "0",
    doc: "1: agents run even where this machine cannot isolate them; they can then read and change whatever this user can. 0: their prompts wait.",
    parse: flag,
  },
  /** Host users of sandboxes, first and last, for a service that runs as root. */
  agentUids: {
    env: "AGENT_UIDS",
    default: "200000-265535",
    doc: "User ids for sandboxes, first-last, when the service runs as root: each sandbox gets one of its own. Nothing else may use them.",
    parse: uidRange,
  },
  /** What one run may use. */
  runResources: {
    memoryBytes: {
      env: "RUN_MEMORY_MB",
      default: "4096",
      doc: "Memory of one run, all its processes together; a run that exceeds it fails.",
      parse: integer(64, 10_000_000, MIB),
    },
    maxProcesses: {
      env: "RUN_MAX_PROCESSES",
      default: "512",
      doc: "Processes and threads of one run at a time; a run that exceeds it fails.",
      parse: integer(16, 100_000),
    },
    /** 100 is what the service itself has. */
    cpuWeight: {
      env: "RUN_CPU_WEIGHT",
      default: "50",
      doc: "Share of the processor that a run gets when others want it, too; the service itself has 100.",
      parse: integer(1, 10_000),
    },
    diskBytes: {
      env: "RUN_DISK_MB",
      default: "10240",
      doc: "Disk space of one sandbox: checkout, home and temporary files together; a run that exceeds it fails.",
      parse: integer(16, 100_000_000, MIB),
    },
  },
} as const satisfies Rows;

/** What a sandbox may reach. */
export const egress = {
  egress: {
    mode: {
      env: "EGRESS",
      default: "deny",
      doc: "What agents may reach besides the model: deny: nothing. list: EGRESS_ALLOW. open: every public address, except port 25, and EGRESS_ALLOW.",
      parse: oneOf("deny", "list", "open"),
    },
    allow: {
      env: "EGRESS_ALLOW",
      doc: "For EGRESS=list, and for EGRESS=open what is not public; separated by commas: host, *.suffix, host:port, address:port, or GET|HEAD http://host/path/* for plain HTTP. Private addresses only if written as addresses.",
      parse: egressRules,
    },
  },
} as const satisfies Rows;

/** Which repositories the service touches, and how much of them. */
export const repositoryLimits = {
  /** Absolute paths. */
  localRepositories: {
    env: "LOCAL_REPOSITORIES",
    doc: "Repositories that sessions may name by path, and folders of such repositories, separated by colons (not with OIDC). The example repository is always allowed.",
    parse: folders,
  },
  /** host or host:port, in lower case. */
  privateGitHosts: {
    env: "PRIVATE_GIT_HOSTS",
    doc: "Git hosts that may have private, loopback or link-local addresses: host or host:port, separated by commas. All others must be public.",
    parse: hostList,
  },
  branchPrefix: {
    env: "BRANCH_PREFIX",
    default: "prompt/",
    doc: "What the names of all branches that sessions push begin with.",
    parse: prefix,
  },
  repoLimits: {
    maxFiles: {
      env: "REPO_MAX_FILES",
      default: "200000",
      doc: "Files and folders of a repository's checkout, together; a repository with more is refused.",
      parse: integer(1, 100_000_000),
    },
    maxBytes: {
      env: "REPO_MAX_MB",
      default: "4096",
      doc: "Size of a repository's checkout; a repository with a larger one is refused. Of a larger packed history, the newest commits are fetched.",
      parse: integer(1, 10_000_000, MIB),
    },
  },
} as const satisfies Rows;
