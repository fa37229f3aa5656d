import { connect } from "node:net";
import { GATEWAY_PORT } from "../sandboxes/isolation/isolation.ts";
import {
  type Attack,
  type Attempt,
  all,
  blocked,
  codeOf,
  failed,
  open,
  type Target,
  untried,
} from "./attack.ts";
import { unwritable } from "./look.ts";

const ANSWER_TIMEOUT_MS = 5000;
/** Names that the check's gateway resolves to addresses which must not be reached. Nothing else is resolved. */
export const HOSTILE_NAMES: Readonly<Record<string, readonly string[]>> = {
  localhost: ["127.0.0.1", "::1"],
  "rebinding.example": ["127.0.0.1"],
  "mapped.example": ["::ffff:127.0.0.1"],
  "metadata.example": ["169.254.169.254"],
  "private.example": ["10.0.0.1", "192.168.0.1", "fd00::1"],
};

/** Sends bytes to the gateway. @returns all that it answers until it closes, or is silent. */
function ask(bytes: string | Uint8Array): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  let answer = "";
  const socket = connect(GATEWAY_PORT, "127.0.0.1", () => socket.write(bytes));
  socket.setTimeout(ANSWER_TIMEOUT_MS, () => socket.destroy());
  socket.on("data", (data) => {
    answer += data.toString("latin1");
  });
  socket.once("error", (error) => resolve(answer || codeOf(error)));
  socket.once("close", () => resolve(answer));
  return promise;
}

/** Blocked if the gateway answers with an error. What a listener of the check would say counts as reached. */
function refusedBy(what: string, answer: string): Attempt {
  if (answer.includes("sandbox-check\n") || /^HTTP\/1\.[01] 2/.test(answer)) return open(`${what}: reached`);
  if (/^HTTP\/1\.[01] [45]/.test(answer)) return blocked(`${what}: ${answer.slice(9, 12)}`);
  if (answer.startsWith("\x05")) {
    // The reply to the greeting, then that to the request: its second byte is 0 for success.
    return answer.charCodeAt(3) === 0
      ? open(`${what}: connected`)
      : blocked(`${what}: SOCKS ${answer.charCodeAt(3)}`);
  }
  if (answer === "" || answer === "ECONNRESET") return blocked(`${what}: closed`);
  return failed(`${what}: ${answer.slice(0, 60)}`);
}

const tunnel = async (host: string, port: number): Promise<Attempt> =>
  refusedBy(host, await ask(`CONNECT ${host}:${port} HTTP/1.1\r\nHost: ${host}:${port}\r\n\r\n`));

async function socks(what: string, address: Uint8Array, port: number): Promise<Attempt> {
  const greeting = [5, 1, 0];
  const request = [5, 1, 0, ...address, port >> 8, port & 255];
  return refusedBy(what, await ask(Uint8Array.from([...greeting, ...request])));
}

const socksName = (name: string, port: number) =>
  socks(name, Uint8Array.from([3, name.length, ...Buffer.from(name)]), port);

const model = (token: string | undefined, path = "/v1/messages", method = "POST") =>
  ask(
    `${method} ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n${token ? `x-api-key: ${token}\r\n` : ""}\r\n{}`,
  );

/** Attempts of which each must be refused, one after the other. */
async function each<T>(all_: readonly T[], work: (one: T) => Promise<Attempt>): Promise<Attempt> {
  const attempts: Attempt[] = [];
  for (const one of all_) attempts.push(await work(one));
  return all(attempts);
}

const gateway = (id: string, title: string, inside: (target: Target) => Promise<Attempt>): Attack => ({
  id: `gateway-${id}`,
  title,
  stoppedBy: "gateway",
  needs: "gateway",
  inside,
});

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
  gateway("model-without-token", "use the model without a token, or with a guessed one", async () =>
    all([
      refusedBy("no token", await model(undefined)),
      refusedBy("guessed", await model("run-guessed")),
      refusedBy("empty", await model(" ")),
    ]),
  ),
  gateway("model-other-token", "use the model with another run's token", async ({ tokens }) =>
    tokens ? refusedBy("another run's token", await model(tokens.other)) : untried("no model"),
  ),
  gateway(
    "model-other-operations",
    "use other operations of the model's API with one's own token",
    ({ tokens }) =>
      each(
        [
          "/v1/files",
          "/v1/models",
          "/v1/organizations",
          "/v1/messages/../files",
          "/v1/messages/batches",
          "//v1/messages",
          "/",
        ],
        async (path) =>
          tokens ? refusedBy(path, await model(tokens.own, path, "GET")) : untried("no model"),
      ),
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
