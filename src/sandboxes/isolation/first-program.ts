import { join } from "node:path";
import { GATEWAY_PORT, GATEWAY_SOCKET } from "./isolation.ts";

/** Where the folder of the gateway's socket is mounted. */
export const GATEWAY_INSIDE = "/run/gateway";
/** Connections at a time. */
const MAX_CONNECTIONS = 128;

/**
 * Starts the forwarder, waits until it listens, and becomes the program. The text is a constant; its arguments vary.
 * The forwarder is nobody's child: a program that waits for all its children must not wait for it.
 * It looks again at once for a while: on an idle machine the forwarder listens sooner than a `sleep` is started. The first
 * TCP socket of the network is the forwarder's; /proc/net/tcp would name it, but takes the kernel milliseconds.
 * $1 folder  $2 port  $3 socat  $4 socket  then the program.
 */
const FORWARD = `
cd -- "$1" || exit 125
port=$2 socat=$3 socket=$4
shift 4
forwarder=$("$socat" "TCP-LISTEN:$port,bind=127.0.0.1,fork,reuseaddr,backlog=128,max-children=${MAX_CONNECTIONS}" \\
  "UNIX-CONNECT:$socket" </dev/null >/dev/null 2>&1 & echo $!)
tries=0 up=
while [ -z "$up" ]; do
  while read -r kind _ inuse _; do
    if [ "$kind" = TCP: ] && [ "$inuse" -gt 0 ]; then up=1; fi
  done </proc/net/sockstat
  if [ -z "$up" ]; then
    if [ "$tries" -ge 1000 ] || ! [ -d "/proc/$forwarder" ]; then
      echo "The sandbox's forwarder does not listen on 127.0.0.1:$port: $socat did not start." >&2
      exit 125
    fi
    tries=$((tries + 1))
    if [ "$tries" -gt 100 ]; then sleep 0.005; fi
  fi
done
exec "$@"
`;

/** Becomes the program in the folder $1, which bwrap may not enter: it belongs to the program's user. */
const ENTER = 'cd -- "$1" && shift && exec "$@"';

/** The program, behind a forwarder to the gateway. */
export function withForwarder(socat: string, cwd: string, argv: readonly string[]): string[] {
  const socket = join(GATEWAY_INSIDE, GATEWAY_SOCKET);
  return ["/bin/sh", "-c", FORWARD, "forward", cwd, `${GATEWAY_PORT}`, socat, socket, ...argv];
}

/** The program, in its folder; bwrap has started it in /. */
export const inFolder = (cwd: string, argv: readonly string[]): readonly string[] =>
  cwd === "/" ? argv : ["/bin/sh", "-c", ENTER, "enter", cwd, ...argv];

/** The program as another user, without any privilege. bwrap itself needs root's where there is no user namespace. */
export function asUser(setpriv: string, uid: number, argv: readonly string[]): string[] {
  const drop = ["--clear-groups", "--inh-caps=-all", "--bounding-set=-all"];
  return [setpriv, "--reuid", `${uid}`, "--regid", `${uid}`, ...drop, "--", ...argv];
}
