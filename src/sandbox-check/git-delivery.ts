import { existsSync } from "node:fs";
import { messageOf } from "../shared/errors.ts";
import { withTimeout } from "../shared/time.ts";
import { type Attempt, all, blocked, CANARY, type Host, open } from "./attack.ts";

/** A delivery that takes longer is given up, as when a prompt is cancelled; that must work soon. */
const DELIVERY_TIMEOUT_MS = 10_000;
const HANGS = "delivery cannot be ended";

/** Runs a script in the checkout. What it could not do is not a failure: the host's side decides. */
export function plant(script: string, env: Record<string, string> = {}): Attempt {
  const { stderr } = Bun.spawnSync(["sh", "-c", script], {
    env: { PATH: "/usr/local/bin:/usr/bin:/bin", HOME: "/tmp", ...env },
    stdio: ["ignore", "ignore", "pipe"],
    timeout: 30_000,
  });
  return blocked(stderr.toString().trim().split("\n").at(-1)?.slice(0, 80) || "planted");
}

/** Delivers the work as the service does after a run. @returns what was said, for people. */
export async function deliver({ sandbox }: Host): Promise<string> {
  try {
    const signal = AbortSignal.timeout(DELIVERY_TIMEOUT_MS);
    const work = await withTimeout(
      3 * DELIVERY_TIMEOUT_MS,
      sandbox.deliverWork("sandbox check", signal),
      HANGS,
    );
    return work.push.pushed ? `${work.commits} commits pushed` : work.push.reason;
  } catch (error) {
    return messageOf(error);
  }
}

export const ranOnHost = ({ target }: Host): Attempt =>
  existsSync(target.marker) ? open("a program ran on the host") : blocked("nothing ran on the host");

/** Everything that the source repository holds. */
async function git(host: Host, ...args: string[]): Promise<string> {
  const child = Bun.spawn(["git", "-c", "safe.directory=*", `--git-dir=${host.origin}`, ...args], {
    env: { PATH: "/usr/local/bin:/usr/bin:/bin", HOME: "/nonexistent" },
    stdio: ["ignore", "pipe", "ignore"],
  });
  return child.stdout.text();
}

export async function branchesOf(host: Host): Promise<Attempt> {
  const refs = (await git(host, "for-each-ref", "--format=%(refname)")).trim().split("\n").sort();
  const allowed = ["refs/heads/main", `refs/heads/${host.request.branch}`];
  const others = refs.filter((ref) => !allowed.includes(ref));
  const count = (await git(host, "rev-list", "--count", "main")).trim();
  return all([
    others.length > 0
      ? open(`${others.join(", ")} were pushed`)
      : blocked("the session's branch alone was pushed"),
    count === "1" ? blocked("main is as it was") : open(`main has ${count} commits`),
  ]);
}

export async function withoutSecret(host: Host): Promise<Attempt> {
  const log = await git(host, "log", "--all", "-p", "--format=%H");
  return log.includes(CANARY) ? open("another tenant's secret was pushed") : blocked("no secret was pushed");
}

export async function delivered(
  host: Host,
  ...checks: ((host: Host) => Attempt | Promise<Attempt>)[]
): Promise<Attempt> {
  const said = await deliver(host);
  if (said.includes(HANGS)) return open(said);
  const results = all(await Promise.all([ranOnHost, ...checks].map((one) => one(host))));
  return { ...results, observed: `${results.observed} (${said.split("\n")[0]?.slice(0, 100)})` };
}
