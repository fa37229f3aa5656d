import { buildConsole } from "../../.ci/console.ts";
import { type Backend, createDeployment, type Deployment, startBackend } from "../harness/backend.ts";

export type ConsoleService = Awaited<ReturnType<typeof openService>>;

export interface ServiceOptions {
  /** In addition to that of a deployment, in which nobody needs to sign in (AUTH_MODE=none). */
  env?: Record<string, string>;
  args?: string[];
  binary?: string;
  /** Fills the database before the service opens it. */
  seed?: (deployment: Deployment) => Promise<void>;
}

/** The service, with the web console, for a browser of any kind. Close it in afterAll. */
export async function openService(options: ServiceOptions = {}) {
  const { env = {}, args, binary, seed } = options;
  await buildConsole();
  const deployment = await createDeployment("embedded");
  await seed?.(deployment);
  const run = (more: Record<string, string> = {}) =>
    startBackend(deployment, {
      env: { ...env, ...more },
      ...(args && { args }),
      ...(binary !== undefined && { binary }),
    });
  let backend: Backend = await run();

  return {
    deployment,
    get url() {
      return backend.url;
    },
    get backend() {
      return backend;
    },
    /**
     * Kills the service as a crash does, and starts it again at the same address.
     * @param meanwhile happens while it is away.
     */
    async restart(meanwhile?: () => Promise<void>): Promise<void> {
      const { port } = new URL(backend.url);
      backend.process.kill("SIGKILL");
      await backend.process.exit;
      await meanwhile?.();
      backend = await run({ PORT: port });
    },
    async [Symbol.asyncDispose]() {
      await backend[Symbol.asyncDispose]();
      await deployment[Symbol.asyncDispose]();
    },
  };
}

/** Runs in a page: what its policy refuses becomes an error of its console. A browser gets the text, so that it needs nothing else. */
export const tellRefusals = (): void =>
  addEventListener("securitypolicyviolation", (event) => {
    const { violatedDirective, blockedURI, sourceFile } = event as Event & Record<string, string>;
    console.error(`policy: ${violatedDirective} ${blockedURI} ${sourceFile}`);
  });
