import { Elysia } from "elysia";
import { AppError } from "../shared/errors.ts";
import { CONSOLE_PAGES, type ConsoleFile, consoleFiles } from "./console-files.ts";
import { type ContentType, contentReply, createContentCache } from "./content.ts";

/** Nothing inline, nothing evaluated, nothing from another origin. Blobs and data are images that an agent has sent. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data: blob:",
  "connect-src 'self'",
  "worker-src 'self'",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
].join("; ");

/** The web console, embedded in the executable, or of `.ci/console.ts` where the service runs from its sources. */
export function consolePages() {
  const content = createContentCache();
  const hidden = { detail: { hide: true } };
  let files: Promise<ReadonlyMap<string, ConsoleFile>> | undefined;

  const find = async (name: string): Promise<ConsoleFile> => {
    files ??= consoleFiles();
    const file = (await files).get(name);
    if (file) return file;
    if (name !== PAGE) throw new AppError("not_found", `The console has no file ${JSON.stringify(name)}.`);
    // It may be built while the service runs.
    files = undefined;
    throw new AppError("not_found", "The console was not built. Run: bun .ci/console.ts");
  };
  const reply = async (request: Request, name: string) => {
    const { read } = await find(name);
    const type = name.slice(name.lastIndexOf(".") + 1) as ContentType;
    const options = { policy: POLICY, immutable: HASHED.test(name) };
    return contentReply(request, type, await content(name, read), options);
  };

  const app = new Elysia({ name: "console" }).get(
    "/console/:name",
    ({ request, params }) => reply(request, params.name),
    hidden,
  );
  for (const path of CONSOLE_PAGES) app.get(path, ({ request }) => reply(request, PAGE), hidden);
  return app;
}

const PAGE = "index.html";
/** A name that Bun's bundler has put a hash into. */
const HASHED = /-[a-z0-9]{8}\.\w+$/;
