import type { AddressInfo } from "node:net";
import { createServer, type Socket } from "node:net";

/** A request as it came over the wire. */
export interface Asked {
  method: string;
  path: string;
  headers: Record<string, string>;
  body: string;
  socket: Socket;
  /** Resolves when the client has closed the connection. */
  closed: Promise<void>;
}

/** What the server does with one request. */
export type Step = (asked: Asked) => void | Promise<void>;

/**
 * A server on loopback that does to each request what the next step says, as bad as it may be; the last step is done to
 * all that follow. Speaks HTTP/1.1 by hand, since a real server would not send half a reply.
 */
export async function scriptedServer(...steps: [Step, ...Step[]]) {
  const asked: Asked[] = [];
  const sockets = new Set<Socket>();
  const waiting: { count: number; resolve: () => void }[] = [];
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    const { promise: closed, resolve } = Promise.withResolvers<void>();
    socket.on("close", () => {
      sockets.delete(socket);
      resolve();
    });
    let text = "";
    socket.on("data", (bytes) => {
      text += bytes.toString();
      const request = readRequest(text);
      if (!request) return;
      text = "";
      const one = { ...request, socket, closed };
      asked.push(one);
      for (const { resolve } of waiting.filter(({ count }) => count <= asked.length)) resolve();
      void steps[Math.min(asked.length, steps.length) - 1]?.(one);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    /** Resolves once there were so many requests. */
    async requests(count: number): Promise<Asked[]> {
      const { promise, resolve } = Promise.withResolvers<void>();
      if (asked.length >= count) resolve();
      waiting.push({ count, resolve });
      await promise;
      return asked;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function readRequest(text: string): Omit<Asked, "socket" | "closed"> | undefined {
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const [first = "", ...lines] = text.slice(0, end).split("\r\n");
  const headers = Object.fromEntries(lines.map((line) => /^([^:]+): ?(.*)$/.exec(line)?.slice(1) ?? []));
  const lower = Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name.toLowerCase(), String(value)]),
  );
  const body = text.slice(end + 4);
  if (Buffer.byteLength(body) < Number(lower["content-length"] ?? 0)) return undefined;
  const [method = "", path = ""] = first.split(" ");
  return { method, path, headers: lower, body };
}

const head = (status: string, headers: Record<string, string>) =>
  [`HTTP/1.1 ${status}`, ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`), "", ""].join(
    "\r\n",
  );

/** Answers, and closes the connection. */
export const text =
  (status: string, type: string, body: string, headers: Record<string, string> = {}): Step =>
  ({ socket }) => {
    const length = String(Buffer.byteLength(body));
    socket.end(
      head(status, { "content-type": type, "content-length": length, connection: "close", ...headers }) +
        body,
    );
  };

export const json = (body: unknown, status = "200 OK", headers: Record<string, string> = {}): Step =>
  text(status, "application/json", JSON.stringify(body), headers);

/** An error as the service sends it. */
export const refusal = (status: string, code: string, headers: Record<string, string> = {}): Step =>
  json({ err: "kind", msg: `About ${code}.`, code, request_id: `request-of-${code}` }, status, headers);

/** Accepts the request and says nothing. */
export const silent: Step = () => undefined;

/** The connection is closed without a reply, as by a server that was killed. */
export const killed: Step = ({ socket }) => void socket.destroy();

/** The reply has begun, and does not go on. */
export const stuck: Step = ({ socket }) => {
  socket.write(
    `${head("200 OK", { "content-type": "application/json", "content-length": "100" })}{"status":`,
  );
};

/** The server is killed after half of the reply. */
export const killedMidReply: Step = ({ socket }) => {
  socket.write(
    `${head("200 OK", { "content-type": "application/json", "content-length": "100" })}{"status":`,
    () => socket.destroy(),
  );
};

/** A piece of a stream. */
export const chunk = (piece: string | Uint8Array): Buffer =>
  Buffer.concat([
    Buffer.from(`${Buffer.byteLength(piece).toString(16)}\r\n`),
    Buffer.from(piece),
    Buffer.from("\r\n"),
  ]);

/** A stream with these frames that stays open; `end` closes it in order. */
export const stream =
  (frames: string, { end = false } = {}): Step =>
  ({ socket }) => {
    socket.write(
      head("200 OK", { "content-type": "text/event-stream; charset=utf-8", "transfer-encoding": "chunked" }),
    );
    if (frames !== "") socket.write(chunk(frames));
    if (end) socket.write("0\r\n\r\n");
  };

export const frame = (event: string, data: unknown, id?: number | string) =>
  `${id === undefined ? "" : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
