import { join } from "node:path";

/**
 * Serves the repositories below `root` over HTTP like GitHub: `git http-backend` behind Basic auth.
 * @param options.password or those that it accepts at a moment. @param options.isPublic nobody needs one.
 * @param options.username default: what GitHub takes. @param options.lfs answers what git-lfs asks, with the credential that
 * it has sent. @param options.onRequest called while a client is waiting, when its processes can be inspected.
 */
export function startGitServer(options: {
  root: string;
  password: string | (() => readonly string[]);
  username?: string;
  isPublic?: boolean;
  lfs?: (request: Request) => Promise<Response>;
  onRequest?: () => void;
}) {
  const { root, password, username = "x-access-token", isPublic = false, lfs, onRequest } = options;
  const authorizations: (string | null)[] = [];
  const accepted = () =>
    (typeof password === "string" ? [password] : password()).map(
      (one) => `Basic ${Buffer.from(`${username}:${one}`).toString("base64")}`,
    );
  const backend = join(Bun.spawnSync(["git", "--exec-path"]).stdout.toString().trim(), "git-http-backend");
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      onRequest?.();
      const authorization = request.headers.get("authorization");
      authorizations.push(authorization);
      if (!isPublic && (authorization === null || !accepted().includes(authorization)))
        return new Response("no", { status: 401, headers: { "www-authenticate": 'Basic realm="git"' } });
      const url = new URL(request.url);
      if (lfs && url.pathname.includes("/info/lfs/")) return lfs(request);
      const child = Bun.spawn([backend], {
        env: {
          PATH: process.env["PATH"] ?? "",
          GIT_PROJECT_ROOT: root,
          GIT_HTTP_EXPORT_ALL: "1",
          GIT_CONFIG_COUNT: "2",
          GIT_CONFIG_KEY_0: "safe.directory",
          GIT_CONFIG_VALUE_0: "*",
          GIT_CONFIG_KEY_1: "http.receivepack",
          GIT_CONFIG_VALUE_1: "true",
          REQUEST_METHOD: request.method,
          PATH_INFO: decodeURIComponent(url.pathname),
          QUERY_STRING: url.search.slice(1),
          CONTENT_TYPE: request.headers.get("content-type") ?? "",
          HTTP_CONTENT_ENCODING: request.headers.get("content-encoding") ?? "",
          HTTP_GIT_PROTOCOL: request.headers.get("git-protocol") ?? "",
          REMOTE_USER: username,
        },
        stdin: new Blob([await request.arrayBuffer()]),
        stdout: "pipe",
        stderr: "ignore",
      });
      const output = Buffer.from(await new Response(child.stdout).arrayBuffer());
      const end = output.indexOf("\r\n\r\n");
      const headers = new Headers();
      for (const line of output.subarray(0, end).toString().split("\r\n"))
        headers.append(line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim());
      const status = Number.parseInt(headers.get("status") ?? "200", 10);
      headers.delete("status");
      return new Response(output.subarray(end + 4), { status, headers });
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}`,
    port: server.port as number,
    /** Of every request. */
    authorizations: authorizations as readonly (string | null)[],
    stop: () => server.stop(true),
  };
}
