/** A folder or file of this machine, as a closed program sees it. */
export interface Mount {
  /** Absolute path on this machine. */
  source: string;
  /** Absolute path inside. */
  target: string;
  writable: boolean;
}

/** A program that is not trusted, and all that it gets. */
export interface ClosedProgram {
  argv: readonly [string, ...string[]];
  /** In this order. The system's own folders are there anyway, read-only. */
  mounts: readonly Mount[];
  /** The working directory inside. */
  cwd: string;
  /**
   * Folder of this machine with the socket `GATEWAY_SOCKET` of a gateway (see ../../egress/gateway.ts): inside, a forwarder
   * listens on `GATEWAY_PORT` of loopback and leads there. Every user must be able to enter the folder, and to write to
   * the socket: the program is another user than the service. Undefined: no network at all.
   */
  gateway?: string | undefined;
  /** The network of this machine, where `Isolation.closedNetwork` is false and the operator allows that. */
  hostNetwork?: boolean | undefined;
  /** The host's user that it runs as; required where `Isolation.uids`, and the owner of the writable mounts. */
  uid?: number | undefined;
  /** A descriptor from which bwrap reads more arguments, each with a NUL behind it. */
  argumentsFd?: number | undefined;
}

/** How this machine isolates programs. */
export interface Isolation {
  /**
   * bwrap's arguments, up to the program's own. Whoever starts it opens the descriptors `ISOLATION_FDS` (`info` for
   * writing, `seccomp` is the file `filter`), and gives it the program's whole environment.
   */
  wrap(program: ClosedProgram): string[];
  /** The file with the seccomp filter; /dev/null where there is none. */
  readonly filter: string;
  /** Whether programs can have a network of their own, with a way out of it to a gateway. */
  readonly closedNetwork: boolean;
  /** Whether each program runs as a host user of its own. */
  readonly uids: boolean;
}

/** The file descriptors that the parent opens for bubblewrap: it writes what it has created, and reads the seccomp filter. */
export const ISOLATION_FDS = { info: 3, seccomp: 4 } as const;
/** The one port inside a sandbox: model API, HTTP proxy and SOCKS5 proxy. */
export const GATEWAY_PORT = 3128;
export const GATEWAY_SOCKET = "gateway.sock";
/** The host name inside. */
export const SANDBOX_HOSTNAME = "sandbox";
