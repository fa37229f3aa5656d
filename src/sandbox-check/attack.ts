import type { SandboxPaths } from "../agents/agent.ts";
import type { CheckoutRequest, Sandbox, SandboxProvider } from "../sandboxes/sandbox.ts";

/**
 * What came of an attempt. `blocked` null: it cannot be tried on this machine; with `failed`, it should have been possible,
 * and nothing is known.
 */
export interface Attempt {
  blocked: boolean | null;
  failed?: true;
  observed: string;
}

/** What an attack on the host would find. */
export interface Bait {
  /** A file whose text begins with `CANARY`, in the service's DATA_DIR. */
  secretFile: string;
  /** A file with `CANARY` that only its owner can read, beside the agent's program. */
  besideProgram: string;
  /** The like in /etc, made after the sandbox; undefined where the service may not write there. */
  etcSecret: string | undefined;
  /** Listeners of the host: on 127.0.0.1, on ::1 (undefined: this machine has no IPv6), UDP, and unix sockets. */
  tcpPort: number;
  tcp6Port: number | undefined;
  udpPort: number;
  abstractSocket: string;
  pathSocket: string;
  /** A port of the host that nobody listens on. */
  freePort: number;
}

/** What an attempt is told: where on the host the things are that it must not reach. None of it is secret. */
export interface Target extends Bait {
  /** The service's DATA_DIR. */
  dataDir: string;
  /** Folders of this sandbox and of another tenant's, as the host sees them. */
  ownFolder: string;
  otherFolder: string;
  servicePid: number;
  /** The service's PID namespace, as /proc/self/ns/pid names it. */
  serviceNamespace: string;
  /** The sandbox's folders as programs in it see them. */
  paths: SandboxPaths;
  sessionId: string;
  /** A file of the host; an attack that runs code on the host creates it. */
  marker: string;
  /** Tokens for the model API behind the gateway: of this run, and of a run that is not this sandbox's. */
  tokens: { own: string; other: string } | undefined;
}

/** The host's side of an attempt. */
export interface Host {
  target: Target;
  provider: SandboxProvider;
  sandbox: Sandbox;
  request: CheckoutRequest;
  /** The source repository. */
  origin: string;
  /** How the program inside ended; undefined while it runs. */
  exit: { code: number | null; stderr: string } | undefined;
  /** What has reached the listeners since the attempt began. */
  visitors: readonly string[];
  /** Bytes of the program's journal, and characters of its longest line. */
  journalBytes: number;
  longestLine: number;
  /** Whether another run's gateway answers. */
  gatewayAnswers(): Promise<boolean>;
}

/** What a machine may lack; without it, the attempt cannot be expected to be blocked. */
export type Need = "memory" | "processes" | "gateway";

export interface Attack {
  /** `group-what`; docs/THREAT-MODEL.md names it. */
  id: string;
  /** What it tries, as a phrase. */
  title: string;
  stoppedBy: string;
  needs?: Need;
  /** It may end the program that tries it: it gets a program of its own. */
  alone?: true;
  /** When its program is killed; default: half a minute. */
  limitMs?: number;
  /** It only looks and connects: it is tried also where programs run on the host itself, without isolation. */
  harmless?: true;
  /** Runs inside the sandbox, as the agent would. */
  inside?(target: Target): Attempt | Promise<Attempt>;
  /** Runs on the host once `inside` has called `ready`, and `inside` still runs. */
  meanwhile?(host: Host): Promise<Attempt>;
  /** Runs on the host when everything inside has ended; such an attack gets a sandbox of its own. */
  outside?(host: Host): Promise<Attempt>;
}

/** What every secret of the check begins with. */
export const CANARY = "sandbox-check-canary-";
/** What a program prints when the host may look. */
export const READY = "sandbox-check-ready";

export const blocked = (observed: string): Attempt => ({ blocked: true, observed });
export const open = (observed: string): Attempt => ({ blocked: false, observed });
export const untried = (observed: string): Attempt => ({ blocked: null, observed });
export const failed = (observed: string): Attempt => ({ blocked: null, failed: true, observed });

/** Blocked if each of them is, as far as they can be tried; those that are not are what was observed. */
export function all(attempts: readonly Attempt[]): Attempt {
  const kinds = [
    attempts.filter((one) => one.blocked === false),
    attempts.filter((one) => one.failed),
    attempts.filter((one) => one.blocked),
    attempts,
  ];
  const [first, ...others] = kinds.find((shown) => shown.length > 0) ?? [];
  if (!first) return untried("there was nothing to try it on");
  const observed = [...new Set([first, ...others].map((one) => one.observed))].slice(0, 12).join("; ");
  return { ...first, observed };
}

/** Blocked if the work fails. @param work returns what it has reached. */
export function refused(what: string, work: () => string): Attempt {
  try {
    return open(`${what}: ${work()}`);
  } catch (error) {
    return blocked(`${what}: ${codeOf(error)}`);
  }
}

export function codeOf(error: unknown): string {
  const { code, message } = error as { code?: unknown; message?: unknown };
  return String(code ?? message ?? error).slice(0, 200);
}
