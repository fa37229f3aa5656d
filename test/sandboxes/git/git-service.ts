import { readConfig } from "../../../src/config/config.ts";
import { credentialFor } from "../../../src/forges/git-credentials.ts";
import { openGit } from "../../../src/sandboxes/git/git.ts";
import { parseRepo, repoRules } from "../../../src/sandboxes/git/repo-url.ts";
import { openIsolation } from "../../../src/sandboxes/isolation/status.ts";

/**
 * As much of a service as killed-service.test.ts kills: on "start" it runs three gits with a credential, on "stop" it
 * aborts them. It says so, and without control groups.
 */
const config = readConfig(process.env);
const { path, dataDir, agentUids: uids } = config;
const isolation = await openIsolation({ path, dataDir, uids, allowUnisolated: true });
const git = await openGit({ config, isolation, cgroups: undefined, credentialFor });
const remote = parseRepo(`${config.githubUrl}/octo/hello`, repoRules(config));
const program = { script: "exec sleep 60", args: [], store: dataDir, storeWritable: false, local: false };
console.log("ready");

let stop = new AbortController();
let running: Promise<unknown> | undefined;
for await (const line of console) {
  if (line === "start") {
    stop = new AbortController();
    const { signal } = stop;
    running = Promise.allSettled([1, 2, 3].map(() => git({ ...program, remote, uid: uids.first }, signal)));
  } else {
    stop.abort(new Error("stopped"));
    await running;
  }
  console.log(line);
}
