/** The reference of start.ts, compiled: opens the database as it is, and answers. */
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import initdb from "@electric-sql/pglite/initdb.wasm" with { type: "file" };
import data from "@electric-sql/pglite/pglite.data" with { type: "file" };
import program from "@electric-sql/pglite/pglite.wasm" with { type: "file" };
import postgres from "postgres";

const { DATABASE_URL: url, DATA_DIR: dataDir = "", PORT: port } = process.env;
const compile = async (path: string) => WebAssembly.compile(await Bun.file(path).arrayBuffer());
if (url) await postgres(url, { max: 1, fetch_types: false })`select 1`;
else {
  const db = await PGlite.create({
    dataDir: join(dataDir, "postgres"),
    fsBundle: Bun.file(data),
    pgliteWasmModule: await compile(program),
    initdbWasmModule: await compile(initdb),
  });
  await db.query("select 1");
  // Whoever opens it next would have to recover what was not closed.
  process.on("SIGTERM", () => db.close().then(() => process.exit(0)));
}
Bun.serve({ port: Number(port), hostname: "127.0.0.1", fetch: () => new Response("ok") });
