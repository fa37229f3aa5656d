import { connect } from "node:net";
import { join } from "node:path";
import { openModelProxy } from "../agents/model-proxy.ts";
import { gatewayEnvironment } from "../egress/environment.ts";
import { openGateway } from "../egress/gateway.ts";
import { createPolicy } from "../egress/policy.ts";
import { GATEWAY_PORT, GATEWAY_SOCKET } from "../sandboxes/isolation/isolation.ts";
import { Secret } from "../shared/secret.ts";
import { CANARY } from "./attack.ts";
import { HOSTILE_NAMES } from "./gateway-attacks.ts";

export interface CheckGateway {
  /** To mount into the sandbox. */
  folder: string;
  env: Readonly<Record<string, string>>;
  token: string;
  /** Whether it answers a client of the host. */
  answers(): Promise<boolean>;
  close(): Promise<void>;
}

/**
 * A gateway as a run has it, with a model that answers nothing and with the most that a policy can allow. It resolves no
 * names but those of the attacks, so that nothing leaves the machine.
 */
export async function openCheckGateway(sandboxFolder: string): Promise<CheckGateway> {
  const folder = join(sandboxFolder, "gateway");
  const upstream = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("{}") });
  const proxy = openModelProxy({
    api: "anthropic",
    upstream: `http://127.0.0.1:${upstream.port}`,
    apiKey: new Secret(`${CANARY}${crypto.randomUUID()}`),
  });
  // Nothing is asked of it that costs anything.
  const meter = { begin: async () => ({ denied: "ended" as const, message: "This is a check." }) };
  const { token } = proxy.grant({ id: crypto.randomUUID(), meter });
  const resolve = async (name: string) => HOSTILE_NAMES[name] ?? [];
  const gateway = await openGateway({
    place: { folder, socket: GATEWAY_SOCKET },
    policy: createPolicy({ mode: "open", allow: undefined, resolve }),
    modelPort: proxy.port,
  });
  return {
    folder,
    token,
    env: gatewayEnvironment({ port: GATEWAY_PORT, hostLoopback: false }),
    answers() {
      const { promise, resolve: settle } = Promise.withResolvers<boolean>();
      const socket = connect(join(folder, GATEWAY_SOCKET), () =>
        socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
      );
      socket.setTimeout(5000, () => settle(false));
      socket.once("data", () => settle(true));
      socket.once("error", () => settle(false));
      return promise.finally(() => socket.destroy());
    },
    async close() {
      await gateway.close();
      await proxy.close();
      await upstream.stop(true);
    },
  };
}
