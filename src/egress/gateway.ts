import { connect, createServer, type Socket } from "node:net";
import type { Logger } from "../observability/logger.ts";
import { messageOf } from "../shared/errors.ts";
import { openTunnel } from "./connect.ts";
import { dial } from "./dial.ts";
import { type Head, headLength, parseHead } from "./http-head.ts";
import { type GatewayPlace, listenAt } from "./listen.ts";
import { forwardRequest } from "./plain-http.ts";
import type { Decision, EgressPolicy } from "./policy.ts";
import type { Relay } from "./relay.ts";
import { openSocksTunnel, SOCKS_VERSION } from "./socks5.ts";
import { BadRequest, join, replyAndClose, take, textReply } from "./streams.ts";

/** Connections of one gateway at a time; those beyond are closed. */
const MAX_CONNECTIONS = 128;
/** Of these, connections to elsewhere than the model, which must stay reachable beside them. */
const MAX_RELAYED = 96;
const HEAD_TIMEOUT_MS = 10_000;
const IDLE_MS = 10 * 60_000;

/** The one way out of a sandbox. Speaks HTTP (as a proxy, with CONNECT), SOCKS5, and the model's API. */
export interface Gateway {
  /** The port on loopback; 0 for a socket. */
  port: number;
  /** Closes it and all its connections. Idempotent. */
  close(): Promise<void>;
}

/**
 * Opens a gateway. Every target is decided on by `policy`, and the connection goes to an address that was decided on.
 * @param options.modelPort where requests for the model go, on loopback; undefined: there is no model.
 * @param options.insidePort where programs reach it on their loopback; default: its port.
 * @param options.onDecision called with each decision.
 * @param options.headTimeoutMs, options.idleMs for tests.
 * @throws Error if the port is taken.
 */
export async function openGateway(options: {
  place: GatewayPlace;
  policy: EgressPolicy;
  modelPort?: number | undefined;
  insidePort?: number;
  onDecision?: ((decision: Decision) => void) | undefined;
  logger?: Logger | undefined;
  headTimeoutMs?: number;
  idleMs?: number;
}): Promise<Gateway> {
  const { place, policy, modelPort, onDecision, logger } = options;
  const { insidePort, headTimeoutMs = HEAD_TIMEOUT_MS, idleMs = IDLE_MS } = options;
  const clients = new Set<Socket>();
  const upstreams = new Set<Socket>();
  let relayed = 0;

  /** What one client may use. @param onHead called when its request is complete. */
  function relayFor(client: Socket, onHead: () => void): Relay {
    const gone = new AbortController();
    client.once("close", () => gone.abort(left()));
    if (client.destroyed) gone.abort(left());
    return {
      idleMs,
      async decide(request) {
        onHead();
        const decision = await policy.decide(request);
        onDecision?.(decision);
        return decision;
      },
      async dial(addresses, port) {
        const upstream = await dial(addresses, port, gone.signal);
        if (gone.signal.aborted) upstream.destroy();
        gone.signal.throwIfAborted();
        upstreams.add(upstream);
        upstream.once("close", () => upstreams.delete(upstream));
        return upstream;
      },
    };
  }

  async function serve(client: Socket): Promise<void> {
    const timer = setTimeout(() => {
      replyAndClose(client, textReply("408 Request Timeout", "The request did not arrive in time."));
    }, headTimeoutMs);
    const onHead = () => clearTimeout(timer);
    client.once("close", onHead);
    const protocol = await protocolOf(client);
    if (protocol === "model") {
      onHead();
      return toModel(client);
    }
    if (relayed >= MAX_RELAYED)
      throw new BadRequest(
        "503 Service Unavailable",
        `Only ${MAX_RELAYED} connections at a time are possible.`,
      );
    relayed += 1;
    client.once("close", () => {
      relayed -= 1;
    });
    const relay = relayFor(client, onHead);
    if (protocol === "socks") return await openSocksTunnel(client, relay);
    const bytes = await take(client, headLength);
    const head = parseHead(bytes);
    if (isOwn(head)) {
      client.unshift(bytes);
      onHead();
      return toModel(client);
    }
    if (head.method === "CONNECT") return await openTunnel(client, head, relay);
    return await forwardRequest(client, head, relay);
  }

  /** Programs that ignore NO_PROXY, or a port in it, ask the proxy for what it is itself. */
  const isOwn = ({ target }: Head) =>
    (insidePort ?? port) > 0 && target.toLowerCase().startsWith(`http://127.0.0.1:${insidePort ?? port}/`);

  /** The model's own server reads these connections, and may wait minutes between two events. */
  function toModel(client: Socket): void {
    if (modelPort === undefined) {
      replyAndClose(client, textReply("404 Not Found", "This run has no access to a model."));
      return;
    }
    const upstream = connect({ host: "127.0.0.1", port: modelPort, allowHalfOpen: true });
    upstreams.add(upstream);
    upstream.once("close", () => upstreams.delete(upstream));
    join(client, upstream, 0);
  }

  const server = createServer({ allowHalfOpen: true }, (client) => {
    client.on("error", () => client.destroy());
    if (clients.size >= MAX_CONNECTIONS) {
      client.destroy();
      return;
    }
    clients.add(client);
    client.once("close", () => clients.delete(client));
    serve(client).catch((error: unknown) => {
      if (error instanceof BadRequest) return replyAndClose(client, textReply(error.status, error.message));
      logger?.warn("a connection of a gateway failed", { error: messageOf(error) });
      client.destroy();
    });
  });
  const port = await listenAt(server, place);
  server.on("error", (error) => logger?.warn("a gateway failed", { error: messageOf(error) }));

  return {
    port,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of [...clients, ...upstreams]) socket.destroy();
      await closed;
    },
  };
}

const left = () => new BadRequest("400 Bad Request", "The client has left.");

/** The first bytes show the protocol; they stay in the socket. @throws BadRequest */
async function protocolOf(client: Socket): Promise<"socks" | "model" | "proxy"> {
  let found: "socks" | "model" | "proxy" = "proxy";
  await take(client, (bytes) => {
    if (bytes[0] === SOCKS_VERSION) found = "socks";
    else {
      const line = /^[A-Z]{1,32}(?: (.?)|$)/s.exec(bytes.toString("latin1", 0, 40));
      if (!line) throw new BadRequest("400 Bad Request", "This is neither HTTP nor SOCKS5.");
      const [, target] = line;
      if (!target) return undefined;
      // `*` is the whole server, in OPTIONS.
      found = target === "/" || target === "*" ? "model" : "proxy";
    }
    return 0;
  });
  return found;
}
