import { ptr } from "bun:ffi";
import { createSocket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { existsSync, readFileSync, writeSync } from "node:fs";
import { connect, createServer } from "node:net";
import { type Attack, type Attempt, all, blocked, codeOf, open, READY } from "./attack.ts";
import { call, denied, judge } from "./syscalls.ts";

const CONNECT_TIMEOUT_MS = 3000;

/** Blocked if the connection is refused at once; one that hangs may have left the machine. */
function unconnected(where: { host?: string; port?: number; path?: string }): Promise<Attempt> {
  const name = where.path?.replace("\0", "@") ?? `${where.host}:${where.port}`;
  const { promise, resolve } = Promise.withResolvers<Attempt>();
  const socket = connect(where as { path: string });
  socket.setTimeout(CONNECT_TIMEOUT_MS, () => resolve(open(`${name}: no answer, but no refusal either`)));
  socket.once("connect", () => resolve(open(`${name}: connected`)));
  socket.once("error", (error) => resolve(blocked(`${name}: ${codeOf(error)}`)));
  return promise.finally(() => socket.destroy());
}

/** Nothing but loopback leads anywhere: only then may an address outside be tried at all. */
function routes(): string[] {
  const ipv4 = readFileSync("/proc/net/route", "utf8").trim().split("\n").slice(1);
  const ipv6 = readFileSync("/proc/net/ipv6_route", "utf8").trim().split("\n");
  return [...ipv4, ...ipv6]
    .map((line) => line.trim().split(/\s+/))
    .map((fields) => (fields.length > 10 ? fields[0] : fields.at(-1)) ?? "")
    .filter((name) => name !== "" && name !== "lo");
}

const interfaces = () =>
  readFileSync("/proc/net/dev", "utf8")
    .split("\n")
    .flatMap((line) => /^\s*([^:\s]+):/.exec(line)?.[1] ?? []);

async function unlessRouted(work: () => Promise<Attempt>): Promise<Attempt> {
  const found = [...routes(), ...interfaces().filter((name) => name !== "lo")];
  return found.length > 0
    ? open(`there is a way out (${[...new Set(found)].join(", ")}); not tried`)
    : work();
}

/** Listens on a port of loopback until the host has looked. */
async function occupy(port: number, host: string): Promise<Attempt> {
  const server = createServer((socket) => socket.end("stolen"));
  const { promise, resolve } = Promise.withResolvers<Attempt | undefined>();
  server.once("error", (error) => resolve(blocked(`bind: ${codeOf(error)}`)));
  server.listen(port, host, () => resolve(undefined));
  const failed = await promise;
  writeSync(1, `${READY}\n`);
  if (failed) return failed;
  await Bun.sleep(10_000);
  return blocked("listened inside");
}

export const NETWORK_ATTACKS: readonly Attack[] = [
  {
    id: "network-loopback",
    title: "connect to services on the host's loopback: the API, the database, model proxies",
    stoppedBy: "network namespace",
    harmless: true,
    inside: async ({ tcpPort, tcp6Port }) =>
      all([
        await unconnected({ host: "127.0.0.1", port: tcpPort }),
        ...(tcp6Port === undefined ? [] : [await unconnected({ host: "::1", port: tcp6Port })]),
        await unconnected({ host: "0.0.0.0", port: tcpPort }),
      ]),
  },
  {
    id: "network-udp",
    title: "send UDP to a service on the host's loopback",
    stoppedBy: "network namespace",
    async inside({ udpPort }) {
      const socket = createSocket("udp4");
      const { promise, resolve } = Promise.withResolvers<string>();
      socket.once("error", (error) => resolve(codeOf(error)));
      socket.send("sandbox-check-udp", udpPort, "127.0.0.1", (error) =>
        resolve(error ? codeOf(error) : "sent"),
      );
      const observed = await promise;
      socket.close();
      return blocked(observed);
    },
    outside: async ({ visitors }) =>
      visitors.includes("udp") ? open("the datagram arrived on the host") : blocked("it never arrived"),
  },
  {
    id: "network-abstract-socket",
    title: "connect to an abstract unix socket of the host",
    stoppedBy: "network namespace",
    inside: ({ abstractSocket }) => unconnected({ path: `\0${abstractSocket}` }),
  },
  {
    id: "network-path-socket",
    title: "connect to unix sockets of the host by path: the service's control socket, Docker, D-Bus",
    stoppedBy: "mount namespace",
    inside: async ({ pathSocket }) =>
      all(
        await Promise.all(
          [
            pathSocket,
            "/run/docker.sock",
            "/run/dbus/system_bus_socket",
            "/run/systemd/private",
            "/var/run/docker.sock",
          ].map((path) => unconnected({ path })),
        ),
      ),
  },
  {
    id: "network-take-port",
    title: "take over a port of the service, to get tokens of those who connect",
    stoppedBy: "network namespace",
    harmless: true,
    alone: true,
    inside: ({ freePort }) => occupy(freePort, "127.0.0.1"),
    async meanwhile({ target }) {
      const attempt = await unconnected({ host: "127.0.0.1", port: target.freePort });
      return attempt.blocked
        ? blocked("nobody listens on the host")
        : open("the host's clients reach the sandbox");
    },
  },
  {
    id: "network-interfaces",
    title: "find an interface or a route that leads out",
    stoppedBy: "network namespace",
    inside: () => unlessRouted(async () => blocked("loopback alone, no routes")),
  },
  {
    id: "network-metadata",
    title: "connect to the cloud's metadata service (169.254.169.254, fd00:ec2::254)",
    stoppedBy: "network namespace",
    inside: () =>
      unlessRouted(async () =>
        all([
          await unconnected({ host: "169.254.169.254", port: 80 }),
          await unconnected({ host: "fd00:ec2::254", port: 80 }),
        ]),
      ),
  },
  {
    id: "network-dns",
    title: "resolve a name, or carry data out in one",
    stoppedBy: "network namespace",
    inside: () =>
      unlessRouted(async () => {
        const found = await lookup("data.sandbox-check.invalid").then(
          ({ address }) => open(`resolved to ${address}`),
          (error: unknown) => blocked(codeOf(error)),
        );
        return all([found, await unconnected({ host: "192.0.2.1", port: 53 })]);
      }),
  },
  {
    id: "network-configure",
    title: "give an interface an address, make a TUN device, change routes",
    stoppedBy: "no capabilities",
    inside() {
      const socket = call("socket", 2, 2, 0);
      if ("error" in socket) return judge("socket", socket);
      // Its MTU, read and set to what it is: 0x8921, 0x8922.
      const request = Buffer.alloc(40);
      request.write("lo");
      call("ioctl", socket.value, 0x8921, ptr(request));
      return all([
        denied("ioctl", socket.value, 0x8922, ptr(request)),
        existsSync("/dev/net/tun") ? open("/dev/net/tun is there") : blocked("no TUN device"),
      ]);
    },
  },
];
