/** What a gateway costs: throughput of a tunnel, and time of a small model call, direct and through it (`bun test/bench/gateway.ts`). */
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openModelProxy } from "../../src/agents/model-proxy.ts";
import { egressRules } from "../../src/config/egress-rules.ts";
import { openGateway } from "../../src/egress/gateway.ts";
import { createPolicy } from "../../src/egress/policy.ts";
import { Secret } from "../../src/shared/secret.ts";
import { freeMeter } from "../harness/free-meter.ts";

const MIB = 1024 ** 2;
const TOTAL = 512 * MIB;
const CALLS = 1_000;

const block = Buffer.alloc(MIB);
const server = createServer((socket) => {
  let sent = 0;
  const write = () => {
    while (sent < TOTAL) {
      sent += MIB;
      if (!socket.write(block)) return void socket.once("drain", write);
    }
    socket.end();
  };
  socket.on("error", () => undefined);
  write();
});
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
const { port } = server.address() as { port: number };
const model = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("{}") });
const proxy = openModelProxy({
  api: "anthropic",
  upstream: `http://127.0.0.1:${model.port}`,
  apiKey: new Secret("key"),
});
const { token } = proxy.grant({ id: "bench", meter: freeMeter });
const folder = mkdtempSync(join(tmpdir(), "pb-bench-"));
const gateway = await openGateway({
  place: { folder, socket: "gateway.sock" },
  policy: createPolicy({ mode: "list", allow: egressRules(`127.0.0.1:${port}`) }),
  modelPort: proxy.port,
});
const unix = join(folder, "gateway.sock");

async function download(socket: Socket): Promise<number> {
  const begun = performance.now();
  let bytes = 0;
  socket.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
  });
  await new Promise((resolve) => socket.once("end", resolve));
  socket.destroy();
  return bytes / MIB / ((performance.now() - begun) / 1000);
}
function tunnel(): Socket {
  const socket = connect(unix);
  socket.write(`CONNECT 127.0.0.1:${port} HTTP/1.1\r\n\r\n`);
  return socket;
}
async function call(url: string, more: { unix?: string } = {}): Promise<number> {
  const times: number[] = [];
  for (let one = 0; one < CALLS; one += 1) {
    const begun = performance.now();
    const init = { method: "POST", headers: { "x-api-key": token }, body: "{}", ...more };
    await (await fetch(`${url}/v1/messages`, init)).text();
    times.push(performance.now() - begun);
  }
  return times.sort((a, b) => a - b)[CALLS / 2] ?? 0;
}

for (let round = 1; round <= 3; round += 1) {
  const direct = await download(connect(port, "127.0.0.1"));
  const tunnelled = await download(tunnel());
  const [alone, through] = [await call(proxy.url), await call("http://127.0.0.1:3128", { unix })];
  console.log(
    `direct ${direct.toFixed(0)} MiB/s, tunnel ${tunnelled.toFixed(0)} MiB/s; model call ${alone.toFixed(3)} ms, through the gateway ${through.toFixed(3)} ms`,
  );
}
console.log(`memory ${(process.memoryUsage.rss() / MIB).toFixed(0)} MiB`);
await gateway.close();
await proxy.close();
await model.stop(true);
server.close();
rmSync(folder, { recursive: true });
