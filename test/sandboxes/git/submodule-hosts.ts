import { mkdtempSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { makeRepository } from "../../harness/repository.ts";
import { openSandboxFixture } from "../fixture.ts";
import { startGitServer } from "./git-server.ts";

export const TOKENS = { github: "ghp_first0123456789", gitea: "gitea-third0123456789" } as const;

export interface Link {
  path: string;
  commit: string;
  /** Undefined: .gitmodules does not name it. */
  url?: string;
}

/** What the user is told of a submodule that is not fetched. */
export const missing = (path: string, why: string) =>
  `The submodule ${JSON.stringify(path)} is not in the checkout: ${why}`;

/** Two git hosts that the service knows, each with a token of its own, and one that it does not know and that everybody may read. */
export async function openSubmoduleHosts(env: Record<string, string> = {}) {
  const root = mkdtempSync(join(tmpdir(), "pb-submodules-"));
  const serve = (name: string, password: string, isPublic = false) =>
    startGitServer({ root: join(root, name), password, isPublic });
  const servers = {
    github: serve("github", TOKENS.github),
    gitea: serve("gitea", TOKENS.gitea),
    other: serve("other", "none", true),
  };
  const fixture = await openSandboxFixture({
    env: {
      ...{ GITHUB_URL: servers.github.url, GITHUB_TOKEN: TOKENS.github, PRIVATE_GIT_HOSTS: "127.0.0.1" },
      FORGES: JSON.stringify([{ host: servers.gitea.url, kind: "gitea", token: TOKENS.gitea }]),
      ...env,
    },
  });

  return {
    servers,
    fixture,
    bare: (at: keyof typeof servers, name: string) => join(root, at, name),
    /** Makes a repository of a host. @param more of its .gitmodules. @returns its one commit. */
    async make(
      at: keyof typeof servers,
      name: string,
      files: Record<string, string>,
      links: readonly Link[] = [],
      more = "",
    ): Promise<string> {
      const source = await makeRepository({ files });
      const sections = links.flatMap(({ path, url }, index) =>
        url === undefined ? [] : [`[submodule "s${index}"]\n\tpath = "${path}"\n\turl = ${url}\n`],
      );
      if (sections.length > 0 || more)
        await writeFile(join(source.path, ".gitmodules"), sections.join("") + more);
      await source.git("add", "--all");
      for (const { path, commit } of links)
        await source.git("update-index", "--add", "--cacheinfo", `160000,${commit},${path}`);
      await source.git("commit", "--quiet", "--amend", "--message=Begin");
      const target = join(root, at, name);
      await mkdir(dirname(target), { recursive: true });
      await rm(target, { recursive: true, force: true });
      await Bun.$`git clone -q --bare ${source.path} ${target}`.quiet();
      const commit = (await source.git("rev-parse", "HEAD")).trim();
      await source.remove();
      return commit;
    },
    async close() {
      await fixture.remove();
      for (const server of Object.values(servers)) server.stop();
      await rm(root, { recursive: true, force: true });
    },
  };
}
