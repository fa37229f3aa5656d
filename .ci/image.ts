import { chownSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { freePort, installPackages, isRoot } from "../test/harness/machine.ts";
import { type RunningProcess, startProcess } from "../test/harness/process.ts";
import { START_TIMEOUT_MS } from "../test/harness/timeouts.ts";
import { until } from "../test/harness/until.ts";
import { run } from "./program.ts";

/**
 * `bun .ci/image.ts`: builds the Dockerfile without a container engine (needs root, buildah and debootstrap), and tests
 * the image the way an engine would run it: entry point, user, read-only root file system, no capabilities.
 */
const ROOT = resolve(import.meta.dir, "..");
const SUITE = "bookworm";

/** An image's configuration, in Docker's format. */
interface ImageConfig {
  User: string;
  Env: string[];
  Entrypoint: [string, ...string[]];
  WorkingDir: string;
  Labels: Record<string, string>;
  Healthcheck: { Test: string[] };
}

const step = (line: string) => void process.stdout.write(`ok  ${line}\n`);

/** Builds the image in a private store below `scratch`. @returns its root folder and its configuration. */
async function build(scratch: string): Promise<{ root: string; config: ImageConfig }> {
  const store = [
    "--root",
    join(scratch, "store"),
    "--runroot",
    join(scratch, "run"),
    "--storage-driver",
    "vfs",
  ];
  const buildah = (...args: string[]) =>
    run(["buildah", ...store, ...args], { cwd: ROOT }).then((out) => out.trim());
  const base = join(scratch, "base");
  await run(["debootstrap", "--variant=minbase", SUITE, base], { cwd: ROOT });
  step(`debootstrap created ${SUITE}`);

  // Stand-ins for the two base images: nothing is pulled from a registry.
  const text = await Bun.file(join(ROOT, "Dockerfile")).text();
  const [bun = "", debian = ""] = [...text.matchAll(/^FROM (\S+)/gm)].map(([, name]) => name);
  const plain = await buildah("from", "scratch");
  await buildah("add", "--quiet", plain, base, "/");
  await buildah("commit", "--quiet", plain, `docker.io/library/${debian}`);
  await buildah("copy", "--quiet", plain, process.execPath, "/usr/local/bin/bun");
  const authorities = process.env["NODE_EXTRA_CA_CERTS"];
  if (authorities) {
    await buildah("copy", "--quiet", plain, authorities, "/usr/local/share/authorities.pem");
    await buildah("config", "--env", "NODE_EXTRA_CA_CERTS=/usr/local/share/authorities.pem", plain);
  }
  await buildah("commit", "--quiet", plain, `docker.io/${bun}`);

  const options = ["--isolation=chroot", "--format=docker", "--pull-never", "--no-hosts", "--tag=tried"];
  await buildah("build", ...options, ROOT);
  step("the Dockerfile builds");
  const { Docker } = JSON.parse(await buildah("inspect", "--type", "image", "tried")) as {
    Docker: { config: ImageConfig };
  };
  const root = await buildah("mount", await buildah("from", "--pull-never", "tried"));
  return { root, config: Docker.config };
}

/** Sets up the container like an engine, then becomes the program. $1: root, $2: volume, $3: user, rest: argv. */
const CONTAINER = `
  root=$1 data=$2 user=$3; shift 3
  mount --make-rprivate /
  mount --bind "$root" "$root"
  mount --bind "$data" "$root/data"
  mount -o remount,bind,ro "$root"
  mount -t tmpfs -o noexec,nosuid,nodev,mode=1777 tmpfs "$root/tmp"
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  id=$(chroot "$root" id --user "$user")
  exec chroot "$root" setpriv --reuid "$id" --regid "$id" --clear-groups --no-new-privs --bounding-set=-all \\
    --inh-caps=-all sh -c 'cd "$1"; shift; exec "$@"' sh "$WORKDIR" "$@"`;

async function testImage(options: { root: string; config: ImageConfig; scratch: string }): Promise<void> {
  const { root, config, scratch } = options;
  const data = join(scratch, "data");
  mkdirSync(data);
  const id = Number(await run(["chroot", root, "id", "--user", config.User], { cwd: ROOT }));
  if (id === 0) throw new Error("the image runs as root");
  chownSync(data, id, id);
  const port = await freePort();
  const own = Object.fromEntries(
    config.Env.map((one) => [one.slice(0, one.indexOf("=")), one.slice(one.indexOf("=") + 1)]),
  );
  const inside = (argv: readonly string[], env: Record<string, string> = {}) =>
    startProcess({
      argv: [
        "unshare",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "bash",
        "-euc",
        CONTAINER,
        "bash",
        root,
        data,
        config.User,
        ...argv,
      ],
      cwd: scratch,
      env: { ...own, WORKDIR: config.WorkingDir, HOME: "/home/app", ...env, PORT: String(port) },
    });
  const result = async (argv: readonly string[], env: Record<string, string> = {}) => {
    await using running = inside(argv, env);
    const { code } = await running.exit;
    return { code, text: running.lines.join("\n") };
  };
  const expect = (what: string, holds: boolean, saw: unknown) => {
    if (!holds) throw new Error(`${what}: failed, saw ${JSON.stringify(saw)}`);
    step(what);
  };

  const titled = config.Labels["org.opencontainers.image.title"] === "prompt-backend";
  expect("the title label is set", titled, config.Labels);
  const { version } = (await Bun.file(join(ROOT, "package.json")).json()) as { version: string };
  const said = await result([...config.Entrypoint, "--version"]);
  expect(`--version prints ${version}`, said.code === 0 && said.text === version, said);
  const written = await result(["touch", "/written", "/usr/local/bin/written", "/data/written"]);
  const refused = written.text.match(/Read-only file system/g)?.length;
  expect(
    "the root file system is read-only, /data is writable",
    refused === 2 && existsSync(join(data, "written")),
    written,
  );
  const open = await result([...config.Entrypoint, "server"]);
  expect(
    "refuses to listen on all addresses without an issuer",
    open.code === 1 && open.text.includes("KEYCLOAK_ISSUER"),
    open,
  );
  const [kind, ...health] = config.Healthcheck.Test;
  const before = await result(health);
  expect(
    "the health check fails while the service is not running",
    kind === "CMD" && before.code !== 0,
    before,
  );

  // The one folder of DATA_DIR whose repository sessions may name.
  const git = ["git", "-C", "/data/example", "-c", "user.name=Try", "-c", "user.email=try@localhost"];
  await result(["git", "init", "-q", "-b", "main", "/data/example"]);
  await result([...git, "commit", "-q", "--allow-empty", "-m", "First"]);
  const env = { AUTH_MODE: "none", HOST: "127.0.0.1", LOCAL_REPOSITORIES: "/data" };
  await using server = inside([...config.Entrypoint, "server", "--with-bg-tasks", "--handover=stop"], env);
  const [, url = ""] = await server.waitForLine(/listens on (\S+)/, { timeoutMs: START_TIMEOUT_MS });
  const during = await result(health);
  expect("the health check succeeds while the service is running", during.code === 0, during);
  const branch = await submit(url);
  const commits = (await result([...git, "rev-list", "--count", `main..${branch}`])).text;
  expect("a prompt became a branch on the read-only root file system", commits === "1", commits);
  await stop(server);
}

async function submit(url: string): Promise<string> {
  const reply = await fetch(`${url}/sessions/with-prompt`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ repo: "/data/example", target_branch: "main", messages: "Say hello" }),
  });
  if (!reply.ok) throw new Error(`the session was refused: ${await reply.text()}`);
  const { sessionId } = (await reply.json()) as { sessionId: string };
  const session = async () =>
    (
      (await (await fetch(`${url}/sessions/${sessionId}`)).json()) as {
        session: { uiStatus: string; branch: string };
      }
    ).session;
  await until(async () => (await session()).uiStatus === "NeedsReviewIpReturned", {
    what: "the branch",
    timeoutMs: 60_000,
  });
  return (await session()).branch;
}

/** Sends SIGTERM to the container's first process, like an engine. */
async function stop(server: RunningProcess): Promise<void> {
  const first = Number(await run(["pgrep", "--parent", String(server.pid)], { cwd: ROOT }));
  const begun = performance.now();
  process.kill(first, "SIGTERM");
  const { code, signal } = await server.exit;
  if (code !== 0)
    throw new Error(`SIGTERM: exited with ${signal ?? code}:\n${server.lines.slice(-20).join("\n")}`);
  step(`SIGTERM: exit code 0 after ${Math.round(performance.now() - begun)} ms`);
}

if (!isRoot) throw new Error("Building an image without an engine requires root");
const missing = ["buildah", "debootstrap"].filter((name) => !Bun.which(name));
const reason = await installPackages(missing);
if (reason) throw new Error(`${missing.join(", ")}: ${reason}`);
const scratch = mkdtempSync(join(tmpdir(), "prompt-backend-image-"));
try {
  await testImage({ ...(await build(scratch)), scratch });
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
