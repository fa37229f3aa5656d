import { randomBytes } from "node:crypto";
import { cpSync, existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { freePort, runQuietly } from "../harness/machine.ts";
import { startProcess } from "../harness/process.ts";

const ROOT = resolve(import.meta.dir, "../..");
const REALM = join(ROOT, "deploy/keycloak/realm.json");
/** A plugin's own version, or Maven would take the newest. */
const UNPACK = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:unpack";
const START_TIMEOUT_MS = 300_000;

/** The secrets that docker-compose.yml takes from `.env`. */
interface Secrets {
  KEYCLOAK_BACKEND_CLIENT_SECRET: string;
  KEYCLOAK_TEST_USER_PASSWORD: string;
}

/** The version that docker-compose.yml runs. */
export async function versionOfCompose(): Promise<string> {
  const text = await Bun.file(join(ROOT, "docker-compose.yml")).text();
  const [, version] = /image: \S+\/keycloak:(\S+)/.exec(text) ?? [];
  if (!version) throw new Error("docker-compose.yml has no Keycloak");
  return version;
}

/** Keycloak's folder, which Maven brings unless it is there. @returns the folder, or the reason why there is none. */
export async function download(version: string): Promise<{ folder: string } | { reason: string }> {
  const cache = join(ROOT, ".cache/keycloak");
  const folder = join(cache, version);
  if (existsSync(folder)) return { folder };
  // Renamed once complete: a download that was interrupted is done again.
  const draft = join(cache, `${version}.${process.pid}`);
  mkdirSync(draft, { recursive: true });
  try {
    const artifact = `-Dartifact=org.keycloak:keycloak-quarkus-dist:${version}:zip`;
    const argv = ["mvn", "--batch-mode", "--quiet", UNPACK, artifact, `-DoutputDirectory=${draft}`];
    const { code, tail } = await runQuietly(argv, { cwd: draft });
    if (code !== 0) return { reason: `Maven cannot bring Keycloak ${version}: ${tail}` };
    renameSync(join(draft, `keycloak-${version}`), folder);
    return { folder };
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

/**
 * Starts Keycloak as docker-compose.yml does, with an empty database of its own, on a free port of localhost.
 * @param options.scratch an existing folder.
 */
export async function startKeycloak(options: { folder: string; scratch: string }) {
  const home = join(options.scratch, "keycloak");
  // It writes to its own folder: the build for this configuration, and the database.
  cpSync(options.folder, home, { recursive: true });
  mkdirSync(join(home, "data/import"), { recursive: true });
  cpSync(REALM, join(home, "data/import/realm.json"));
  const secret = () => randomBytes(24).toString("hex");
  const secrets: Secrets = {
    KEYCLOAK_BACKEND_CLIENT_SECRET: secret(),
    KEYCLOAK_TEST_USER_PASSWORD: secret(),
  };
  const admin = { username: "admin", password: secret() };
  const port = await freePort();
  const url = `http://localhost:${port}`;
  const running = startProcess({
    argv: [join(home, "bin/kc.sh"), "start-dev", "--import-realm"],
    cwd: home,
    env: {
      JAVA_HOME: process.env["JAVA_HOME"],
      KC_HTTP_HOST: "127.0.0.1",
      KC_HTTP_PORT: String(port),
      KC_HOSTNAME: url,
      KC_HOSTNAME_BACKCHANNEL_DYNAMIC: "true",
      KC_CACHE: "local",
      KC_BOOTSTRAP_ADMIN_USERNAME: admin.username,
      KC_BOOTSTRAP_ADMIN_PASSWORD: admin.password,
      ...secrets,
    },
  });
  await running.waitForLine(/Listening on: /, { timeoutMs: START_TIMEOUT_MS });
  const issuer = `${url}/realms/prompt-backend`;
  return {
    url,
    issuer,
    secrets,
    lines: running.lines,
    admin: () => openAdmin(url, admin),
    stop: () => running[Symbol.asyncDispose](),
  };
}

export type Keycloak = Awaited<ReturnType<typeof startKeycloak>>;

/** Keycloak's admin API, for the realm prompt-backend. */
async function openAdmin(url: string, { username, password }: { username: string; password: string }) {
  const { access_token } = await requestTokens(`${url}/realms/master`, {
    grant_type: "password",
    client_id: "admin-cli",
    username,
    password,
  });
  // biome-ignore lint/suspicious/noExplicitAny: replies of every shape.
  return async (method: string, path: string, body?: object): Promise<any> => {
    const reply = await fetch(`${url}/admin/realms/prompt-backend${path}`, {
      method,
      headers: { authorization: `Bearer ${access_token}`, "content-type": "application/json" },
      ...(body && { body: JSON.stringify(body) }),
    });
    const text = await reply.text();
    if (!reply.ok) throw new Error(`${method} ${path} answered ${reply.status}: ${text}`);
    return text === "" ? undefined : JSON.parse(text);
  };
}

/** Asks the token endpoint. @throws Error with Keycloak's own when it refuses. */
export async function requestTokens(
  issuer: string,
  form: Record<string, string>,
): Promise<{ access_token: string; refresh_token: string; id_token: string }> {
  const reply = await fetch(`${issuer}/protocol/openid-connect/token`, {
    method: "POST",
    body: new URLSearchParams(form),
  });
  const text = await reply.text();
  if (!reply.ok) throw new Error(text);
  return JSON.parse(text);
}
