import { dirname } from "node:path";
import { eq } from "drizzle-orm";
import type { Agent } from "../../src/agents/agent.ts";
import { type Config, readConfig } from "../../src/config/config.ts";
import { project } from "../../src/db/project-tables.ts";
import { openSecretKeys } from "../../src/projects/keys.ts";
import { openRunProjects } from "../../src/projects/run-project.ts";
import { createProject, type ProjectChange, updateProject } from "../../src/projects/store.ts";
import { addPrompt } from "../../src/prompts/create-store.ts";
import type { RunnerDeps } from "../../src/runs/runner.ts";
import { type RunFixture, shellAgent } from "./fixture.ts";

/** Of the secret TOKEN, where a test names no others. */
export const VALUE = "s3cr3t/value+of a token";

/** What the tests do with projects and the runs of their repository. */
export function projectsOf(fixture: () => RunFixture) {
  const configOf = () =>
    readConfig({
      DATA_DIR: fixture().machine.dataDir,
      AUTH_MODE: "none",
      LOCAL_REPOSITORIES: dirname(fixture().repository.path),
    });
  const projectOf = (config: Partial<Pick<Config, "secretsKeys">> = {}) =>
    openRunProjects({ orm: fixture().database.orm, config: { ...configOf(), ...config } });
  const depsFor = (agent: Agent, more: Partial<RunnerDeps> = {}) =>
    fixture().depsFor(agent, { projectOf: projectOf(), ...more });
  /** In place of the one of the test before. */
  const setProject = async (
    change: ProjectChange,
    secrets: Record<string, string> = { TOKEN: VALUE },
    { userId = "alice", path = fixture().repository.path } = {},
  ) => {
    const { orm } = fixture().database;
    await orm.delete(project).where(eq(project.userId, userId));
    const wanted = { userId, repo: path, repoKey: path, change, secrets };
    return orm.transaction((tx) => createProject(tx, openSecretKeys(configOf()), wanted));
  };
  const updateOwn = (id: string, change: ProjectChange, secrets: Record<string, string | null> = {}) =>
    updateProject(fixture().database.orm, openSecretKeys(configOf()), {
      ...{ userId: "alice", id, secrets, change },
    });
  const followUp = (sessionId: string) =>
    fixture().database.orm.transaction((tx) =>
      addPrompt(tx, {
        ...{ userId: "alice", author: undefined, sessionId, data: "Go on", text: "Go on" },
        ...{ priority: 0, maxUnfinished: 1_000 },
      }),
    );
  const runWith = async (script: string, more: Partial<RunnerDeps> = {}) => {
    const { promptId, sessionId } = await fixture().submit();
    await fixture().run(promptId, depsFor(shellAgent(script), more));
    return {
      promptId,
      sessionId,
      texts: await fixture().textsOf(promptId),
      row: await fixture().promptRow(promptId),
    };
  };
  return { projectOf, depsFor, setProject, updateOwn, followUp, runWith };
}
