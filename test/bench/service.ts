import {
  type Backend,
  type Combination,
  createDeployment,
  runProgram,
  startBackend,
} from "../harness/backend.ts";

export interface Service {
  backend: Backend;
  /** A token of each user, in their order. */
  tokens: string[];
  /** Undefined where the database is embedded. */
  databaseUrl: string | undefined;
}

/** Rate limiting is on, as is the quota, with limits that are never reached. */
const LIMITS = {
  RATE_LIMIT_PER_MINUTE: "60000000",
  RATE_LIMIT_ADDRESS_PER_MINUTE: "60000000",
  MAX_UNFINISHED_PROMPTS: "1000000",
};

/** The compiled executable as a server without background tasks, and tokens for it. It ends with the stack. */
export async function startService(
  stack: AsyncDisposableStack,
  combination: Combination,
  users: readonly string[],
): Promise<Service> {
  const deployment = stack.use(await createDeployment(combination));
  const env = { ...deployment.env, ...LIMITS, AUTH_MODE: "local", LOG_LEVEL: "warn" };
  const backend = stack.use(await startBackend(deployment, { args: ["server"], env }));
  const tokens: string[] = [];
  for (const user of users) {
    const { stdout } = await runProgram(["token", "--user", user], { env, cwd: deployment.folder });
    const token = /[\w-]+\.[\w-]+\.[\w-]+/.exec(stdout)?.[0];
    if (!token) throw new Error(`no token: ${stdout}`);
    tokens.push(token);
  }
  return { backend, tokens, databaseUrl: deployment.env["DATABASE_URL"] };
}
