import { join } from "node:path";
import { startGitServer } from "../sandboxes/git/git-server.ts";

type Proceed = () => Promise<Response>;

/**
 * A host as it is in truth: a real `git http-backend` and the API of a stand-in behind one origin. It keeps all that it is
 * sent.
 * @param options.api the stand-in's origin. @param options.path of its one repository. @param options.source the repository
 * that it is a copy of. @param options.root a new folder for it.
 * @param options.passwords those that git may use, at a moment. @param options.onRequest called while a client is waiting,
 * when its processes can be inspected.
 */
export async function startForgeHost(options: {
  api: string;
  path: string;
  source: string;
  root: string;
  username?: string;
  passwords: () => readonly string[];
  onRequest?: () => void;
}) {
  const { api, path, source, root, username = "x-access-token", passwords, onRequest } = options;
  const bare = join(root, `${path}.git`);
  await Bun.$`git clone -q --bare ${source} ${bare}`.quiet();
  const git = startGitServer({ root, username, password: passwords });
  const received: string[] = [];
  let interceptions: { pattern: RegExp; answer: (proceed: Proceed) => Response | Promise<Response> }[] = [];

  const front = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    async fetch(request) {
      const { pathname, search } = new URL(request.url);
      const { method, headers } = request;
      const line = `${method} ${pathname}${search}`;
      const body = await request.arrayBuffer();
      const shown = [...headers].map(([name, value]) => `${name}: ${value}`);
      received.push([line, ...shown, Buffer.from(body).toString("latin1")].join("\n"));
      onRequest?.();
      const proceed = () => {
        const to = `${pathname.startsWith("/api/") ? api : git.url}${pathname}${search}`;
        return fetch(to, { method, headers, body: body.byteLength > 0 ? body : null, redirect: "manual" });
      };
      const found = headers.has("authorization")
        ? interceptions.find(({ pattern }) => pattern.test(line))
        : undefined;
      interceptions = interceptions.filter((one) => one !== found);
      return found ? found.answer(proceed) : proceed();
    },
  });
  const gitIn = (...args: string[]) => Bun.$`git -C ${bare} ${args}`.text();
  return {
    url: `http://127.0.0.1:${front.port}`,
    /** What sessions call its repository. */
    repo: `http://127.0.0.1:${front.port}/${path}`,
    /** Each request: its line, headers and body. */
    received: received as readonly string[],
    /** Runs git in its repository. @returns stdout. */
    git: gitIn,
    /** Tells a stand-in which branches have been pushed. */
    async showBranches(to: Map<string, string>) {
      const refs = await gitIn("for-each-ref", "--format=%(refname:short) %(objectname)", "refs/heads");
      for (const one of refs.trim().split("\n")) to.set(one.split(" ")[0] ?? "", one.split(" ")[1] ?? "");
    },
    /** Answers the next request that has a credential and matches. @param pattern of "POST /api/v3/repos/a/b/pulls". */
    once(pattern: RegExp, answer: (proceed: Proceed) => Response | Promise<Response>) {
      interceptions.push({ pattern, answer });
    },
    async stop() {
      await Promise.all([front.stop(true), git.stop()]);
    },
  };
}
export type ForgeHostStandIn = Awaited<ReturnType<typeof startForgeHost>>;
