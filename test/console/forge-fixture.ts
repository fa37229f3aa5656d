import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startForgeHost } from "../harness/forge-host.ts";
import { startGiteaStandIn } from "../harness/gitea-stand-in.ts";
import { makeRepository } from "../harness/repository.ts";
import { openConsole } from "./fixture.ts";

const TOKEN = "token-of-the-forge-0123456789";

export type ForgeConsole = Awaited<ReturnType<typeof openForgeConsole>>;

/**
 * The console of a service that has a git host with one repository and its API. Close it in afterAll.
 * @param options.agent a script of sh, which gets the prompt as its input.
 */
export async function openForgeConsole(options: {
  files: Record<string, string>;
  agent: string;
  env?: Record<string, string>;
  args?: string[];
  /** Of the repository at its host. */
  path?: string;
}) {
  const { files, agent, env, args, path = "owner/project" } = options;
  const folder = await mkdtemp(join(tmpdir(), "pb-console-forge-"));
  const source = await makeRepository({ files });
  const gitea = await startGiteaStandIn({ token: TOKEN });
  const host = await startForgeHost({
    ...{ api: gitea.url, path, root: join(folder, "host"), source: source.path },
    passwords: () => [TOKEN],
  });
  const on = await openConsole({
    env: {
      ...{ AGENT: "command", AGENT_COMMAND: JSON.stringify(["sh", "-c", agent]) },
      FORGES: JSON.stringify([{ host: host.url, kind: "gitea", token: TOKEN }]),
      PRIVATE_GIT_HOSTS: "127.0.0.1",
      ...env,
    },
    ...(args && { args }),
  });
  return {
    gitea,
    host,
    on,
    async [Symbol.asyncDispose]() {
      await on[Symbol.asyncDispose]();
      await Promise.all([host.stop(), gitea.stop(), source.remove()]);
      await rm(folder, { recursive: true, force: true });
    },
  };
}
