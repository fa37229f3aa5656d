import { chmod, mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { RedisClient } from "bun";
import { compiledBinary } from "../harness/binary.ts";
import { removeFolder, startPostgres, startRedis } from "../harness/private-servers.ts";
import type { BenchArguments } from "./arguments.ts";
import type { Bench } from "./scenario.ts";

/** What scenarios are run with. Its servers start when they are first asked for, and end with it. */
export async function openBench(
  options: Pick<BenchArguments, "rounds" | "seconds" | "target" | "binary">,
): Promise<Bench & AsyncDisposable> {
  const say = (text: string) => void process.stderr.write(`${text}\n`);
  const binary = options.binary === undefined ? await compiledBinary() : resolve(options.binary);
  // For the harness, which starts sources without it.
  process.env["TEST_BINARY"] = binary;
  const folder = await mkdtemp(join(tmpdir(), "pb-bench-"));
  // PostgreSQL runs as another user when this is root.
  await chmod(folder, 0o755);
  const stops: (() => Promise<void>)[] = [];

  const postgres = once(async () => {
    const server = await startPostgres({ folder });
    stops.push(server.stop);
    process.env["TEST_DATABASE_URL"] = server.url;
    const [pid] = (await readFile(join(folder, "postgres/data/postmaster.pid"), "utf8")).split("\n");
    return { url: server.url, pid: Number(pid) };
  });
  const redis = once(async () => {
    const server = await startRedis({ folder });
    stops.push(server.stop);
    process.env["TEST_REDIS_URL"] = server.url;
    const client = new RedisClient(server.url);
    const info = String(await client.send("INFO", ["server"]));
    client.close();
    return { url: server.url, pid: Number(/process_id:(\d+)/.exec(info)?.[1]) };
  });

  const { rounds, seconds, target } = options;
  return {
    rounds,
    seconds,
    target,
    binary,
    folder,
    say,
    postgres,
    redis,
    async [Symbol.asyncDispose]() {
      await Promise.all(stops.map((stop) => stop()));
      removeFolder(folder);
    },
  };
}

function once<Value>(make: () => Promise<Value>): () => Promise<Value> {
  let made: Promise<Value> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}
