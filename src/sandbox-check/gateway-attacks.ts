import { connect } from "node:net";
import { GATEWAY_PORT } from "../sandboxes/isolation/isolation.ts";
import { type Attack, type Attempt, all, blocked, open } from "./attack.ts";
import { ask, each, gateway, refusedBy } from "./gateway-client.ts";
import { unwritable } from "./look.ts";

/** Names that the check's gateway resolves to addresses which must not be reached. Nothing else is resolved. */
export const HOSTILE_NAMES: Readonly<Record<string, readonly string[]>> = {
  localhost: ["127.0.0.1", "::1"],
  "rebinding.example": ["127.0.0.1"],
  "mapped.example": ["::ffff:127.0.0.1"],
  "metadata.example": ["169.254.169.254"],
  "private.example": ["10.0.0.1", "192.168.0.1", "fd00::1"],
};

const tunnel = async (host: string, port: number): Promise<Attempt> =>
  refusedBy(host, await ask(`CONNECT ${host}:${port} HTTP/1.1\r\nHost: ${host}:${port}\r\n\r\n`));

async function socks(what: string, address: Uint8Array, port: number): Promise<Attempt> {
  const greeting = [5, 1, 0];
  const request = [5, 1, 0, ...address, port >> 8, port & 255];
  return refusedBy(what, await ask(Uint8Array.from([...greeting, ...request])));
}

const socksName = (name: string, port: number) =>
  socks(name, Uint8Array.from([3, name.length, ...Buffer.from(name)]), port);

/** The check's gateway has EGRESS=open: what is refused here is refused under every setting. */
export const GATEWAY_ATTACKS: readonly Attack[] = [
  gateway("connect-number", "CONNECT to the host's loopback by number, in every notation", ({ tcpPort }) =>
    each(
      [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "017700000001",
        "0.0.0.0",
        "127.0.0.2",
        "127.0.0.1.",
      ],
      (host) => tunnel(host, tcpPort),
    ),
  ),
  gateway(
    "connect-ipv6",
    "CONNECT to loopback and local addresses of IPv6, mapped and translated",
    ({ tcpPort }) =>
      each(
        [
          "[::1]",
          "[::]",
          "[::ffff:127.0.0.1]",
          "[::127.0.0.1]",
          "[64:ff9b::7f00:1]",
          "[2002:7f00:1::]",
          "[fe80::1]",
          "[fd00::1]",
        ],
        (host) => tunnel(host, tcpPort),
      ),
  ),
  gateway(
    "connect-name",
    "CONNECT to names that resolve to loopback or private addresses (rebinding)",
    ({ tcpPort }) =>
      each([...Object.keys(HOSTILE_NAMES), "LOCALHOST", "localhost."], (host) => tunnel(host, tcpPort)),
  ),
  gateway("metadata", "reach metadata services through the gateway", () =>
    each(
      ["169.254.169.254", "168.63.129.16", "100.100.100.200", "metadata.example", "[fd00:ec2::254]"],
      (host) => tunnel(host, 80),
    ),
  ),
  gateway("socks", "the same by SOCKS5, by address and by name", async ({ tcpPort }) =>
    all([
      await socks("127.0.0.1", Uint8Array.from([1, 127, 0, 0, 1]), tcpPort),
      await socks("::1", Uint8Array.from([4, ...new Uint8Array(15), 1]), tcpPort),
      await socksName("localhost", tcpPort),
      await socksName("rebinding.example", tcpPort),
      await socksName("127.0.0.1", tcpPort),
      await socksName("2130706433", tcpPort),
    ]),
  ),
  gateway(
    "plain-http",
    "the same by plain HTTP, with another Host header and credentials in the URL",
    ({ tcpPort }) =>
      each(
        [
          `GET http://127.0.0.1:${tcpPort}/ HTTP/1.1\r\nHost: example.com\r\n\r\n`,
          `GET http://localhost:${tcpPort}/ HTTP/1.1\r\nHost: localhost\r\n\r\n`,
          `GET http://example.com@127.0.0.1:${tcpPort}/ HTTP/1.1\r\nHost: example.com\r\n\r\n`,
          `GET http://[::ffff:7f00:1]:${tcpPort}/ HTTP/1.1\r\nHost: x\r\n\r\n`,
          `GET ftp://127.0.0.1:${tcpPort}/ HTTP/1.1\r\nHost: x\r\n\r\n`,
        ],
        async (request) => refusedBy(request.split(" ")[1] ?? "", await ask(request)),
      ),
  ),
  gateway(
    "smuggling",
    "smuggle a second request: two lengths, chunks, bare line feeds, an upgrade, more after the first",
    ({ tcpPort }) => {
      const second = `GET http://127.0.0.1:${tcpPort}/ HTTP/1.1\r\nHost: x\r\n\r\n`;
      const first = (headers: string) =>
        `POST http://private.example/ HTTP/1.1\r\nHost: private.example\r\n${headers}\r\n`;
      return each(
        [
          first(`Content-Length: 0\r\nContent-Length: ${second.length}\r\n`) + second,
          `${first(`Content-Length: ${second.length}\r\nTransfer-Encoding: chunked\r\n`)}0\r\n\r\n${second}`,
          `${first("Transfer-Encoding: \x0bchunked\r\n")}0\r\n\r\n${second}`,
          first("Content-Length: 0\n\n") + second,
          first("Upgrade: h2c\r\nConnection: Upgrade\r\n") + second,
          `CONNECT private.example:443\r\n\r\n${second}`,
        ],
        async (request) => refusedBy("smuggled", await ask(request)),
      );
    },
  ),
  gateway("socket", "replace the gateway's socket for others by one's own", async () =>
    unwritable("/run/gateway"),
  ),
  {
    ...gateway(
      "flood",
      "take all connections of the gateway, so that nobody else reaches the model",
      async () => {
        const sockets = Array.from({ length: 600 }, () =>
          connect(GATEWAY_PORT, "127.0.0.1").on("error", () => undefined),
        );
        await Bun.sleep(1000);
        const connected = sockets.filter((one) => one.readyState === "open").length;
        return blocked(`${connected} connections of 600 were accepted`);
      },
    ),
    async outside({ gatewayAnswers }) {
      return (await gatewayAnswers())
        ? blocked("the service and another run's gateway answer")
        : open("another run's gateway does not answer");
    },
  },
];
