import { afterEach } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { egressRules } from "../../src/config/egress-rules.ts";
import type { Resolve } from "../../src/egress/addresses.ts";
import { type Gateway, openGateway } from "../../src/egress/gateway.ts";
import { createPolicy, type Decision } from "../../src/egress/policy.ts";

/** A gateway of the test's own, on a socket in a folder. */
export interface OpenedGateway extends Gateway {
  decisions: Decision[];
  folder: string;
  /** A connection to it. */
  connect(): Socket;
}

type GatewayOptions = Partial<Omit<Parameters<typeof openGateway>[0], "policy">> & {
  allow?: string;
  mode?: "deny" | "list" | "open";
  resolve?: Resolve;
};

/** Releases what a test opened, in reverse order. */
export function useGateways() {
  const release: (() => unknown)[] = [];
  afterEach(async () => {
    for (const one of release.splice(0).reverse()) await one();
  });
  const folderOf = () => {
    const folder = mkdtempSync(join(tmpdir(), "pb-egress-"));
    release.push(() => rmSync(folder, { recursive: true, force: true }));
    return folder;
  };

  return {
    release,
    folderOf,
    async gateway(options: GatewayOptions = {}): Promise<OpenedGateway> {
      const { allow = "", mode = "list", resolve = async () => [], ...more } = options;
      const folder = folderOf();
      const decisions: Decision[] = [];
      const policy = createPolicy({ mode, allow: egressRules(allow), resolve });
      const place = { folder, socket: "gateway.sock" };
      const opened = await openGateway({ place, policy, onDecision: (one) => decisions.push(one), ...more });
      release.push(() => opened.close());
      const path = join(folder, "gateway.sock");
      return { ...opened, decisions, folder, connect: () => connect({ path, allowHalfOpen: true }) };
    },
    /** A TCP server on loopback. */
    async upstream(onSocket: (socket: Socket) => void): Promise<{ port: number; server: Server }> {
      const sockets = new Set<Socket>();
      const server = createServer({ allowHalfOpen: true }, (socket) => {
        sockets.add(socket);
        socket.on("error", () => socket.destroy());
        onSocket(socket);
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
      release.push(() => {
        for (const socket of sockets) socket.destroy();
        server.close();
      });
      const address = server.address();
      return { port: typeof address === "object" && address ? address.port : 0, server };
    },
  };
}

/** Sends bytes, and reads all that comes until the other side ends. @param end whether to end this side, too. */
export async function exchange(socket: Socket, bytes: string | Uint8Array, end = false): Promise<string> {
  socket.write(bytes);
  if (end) socket.end();
  const { promise, resolve } = Promise.withResolvers<string>();
  let text = "";
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1");
  });
  socket.on("error", () => undefined);
  for (const event of ["end", "close"]) socket.once(event, () => resolve(text));
  const received = await promise;
  socket.destroy();
  return received;
}

/** Reads until the text received is complete. */
export async function receive(socket: Socket, isComplete: (text: string) => boolean): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let text = "";
  const onData = (chunk: Buffer) => {
    text += chunk.toString("latin1");
    if (isComplete(text)) resolve(text);
  };
  const onClose = () => reject(new Error(`closed after ${JSON.stringify(text)}`));
  socket.on("data", onData);
  socket.once("close", onClose);
  try {
    return await promise;
  } finally {
    socket.off("data", onData);
    socket.off("close", onClose);
  }
}
