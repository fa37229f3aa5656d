import { join } from "node:path";
import page from "../src/console/index.html";
import { CONSOLE_PAGES } from "../src/server/console-files.ts";

/**
 * `npm run dev`: the service from its sources, restarted at each change, and in front of it the console, which changes in the
 * open page. Both stop together.
 */
const PORT = Number(process.env["PORT"] ?? 8000);

const service = Bun.spawn(
  [process.execPath, "--watch", join(import.meta.dir, "../src/main.ts"), ...process.argv.slice(2)],
  {
    env: { ...process.env, PORT: String(PORT + 1) },
    stdio: ["inherit", "inherit", "inherit"],
  },
);

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: PORT,
  idleTimeout: 0,
  development: { hmr: true, console: true },
  routes: Object.fromEntries(CONSOLE_PAGES.map((path) => [path, page])),
  async fetch(request) {
    const { pathname, search } = new URL(request.url);
    // Also for the worker, which Bun's bundler does not follow: it comes from the last build, like the icons.
    // With its Host and Origin: to the service, the page is its own.
    return fetch(`http://127.0.0.1:${PORT + 1}${pathname}${search}`, {
      method: request.method,
      headers: request.headers,
      body: request.body,
      redirect: "manual",
      decompress: false,
    }).catch(() => new Response("The service is starting.", { status: 503 }));
  },
});
process.stderr.write(`[dev] the console, changed as you save: ${server.url}\n`);
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => service.kill(signal));
process.exit(await service.exited);
