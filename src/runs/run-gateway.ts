import { readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { textEvent } from "../agents/events.ts";
import { MODEL_API_STYLES } from "../agents/model-apis.ts";
import { type Exhausted, type ModelGrant, type ModelProxy, openModelProxy } from "../agents/model-proxy.ts";
import type { Config } from "../config/config.ts";
import { gatewayEnvironment } from "../egress/environment.ts";
import { type Gateway, openGateway } from "../egress/gateway.ts";
import type { GatewayPlace } from "../egress/listen.ts";
import { createPolicy, neededRule } from "../egress/policy.ts";
import { createEgressRecords } from "../egress/records.ts";
import type { Logger } from "../observability/logger.ts";
import type { Metrics } from "../observability/metrics.ts";
import type { RunProject } from "../projects/run-project.ts";
import { GATEWAY_PORT, GATEWAY_SOCKET } from "../sandboxes/isolation/isolation.ts";
import type { Sandbox, SandboxProvider } from "../sandboxes/sandbox.ts";
import { messageOf } from "../shared/errors.ts";
import type { Denied } from "../spend/denials.ts";
import type { Meter } from "../spend/meter.ts";
import type { RunModel } from "./model-sources.ts";
import type { RunWriter } from "./writer.ts";

/** A run's way out of its sandbox: to the model, whose key stays in this process, and to what EGRESS allows. */
export interface RunGateway {
  /** The folder that the sandbox mounts; undefined: it has no network of its own, and reaches the gateway on loopback. */
  folder: string | undefined;
  /** The variables that lead programs to it. */
  env: Readonly<Record<string, string>>;
  /** As the agent reaches it; undefined if it has none. */
  model: { baseUrl: string; token: string } | undefined;
  /** Why the agent's last request to the model was not answered; undefined: it was. */
  modelTrouble(): ReturnType<ModelGrant["trouble"]>;
  /** Aborts when the agent may make no more calls; why, is its reason. */
  exhausted: AbortSignal;
  /** See ModelGrant. */
  modelDenied(): Denied | undefined;
  /** Resolves when everything that was decided before, and what calls have cost, is stored. */
  flush(): Promise<void>;
  /** Idempotent. */
  close(): Promise<void>;
}

interface GatewayOptions {
  sandbox: Sandbox;
  isolation: SandboxProvider["isolation"];
  runId: string;
  /** Undefined: the agent has no access to a model. */
  model: (RunModel & { meter: Meter }) | undefined;
  egress: Config["egress"];
  project?: Pick<RunProject, "egress" | "redactor"> | undefined;
  writer: RunWriter;
  metrics: Metrics;
  logger: Logger;
}

/** For the next runner, so that an agent that still runs finds the same gateway. */
interface Notes {
  /** 0: a socket. */
  port: number;
  /** Of the model; undefined: none. */
  token?: string | undefined;
}

/** Opens a gateway for a new agent, and notes in the sandbox's folder, hidden from the agent, how to open it again. */
export async function openRunGateway(options: GatewayOptions): Promise<RunGateway> {
  const { sandbox, isolation } = options;
  const gateway = await open(options, isolation.closedNetwork ? socketOf(sandbox) : { port: 0 });
  try {
    await writeFile(sandbox.notes, JSON.stringify(gateway.notes), { mode: 0o600 });
  } catch (error) {
    // Such as a full disk. Each attempt would leave two servers with a valid token behind.
    await gateway.close();
    throw error;
  }
  return gateway;
}

/** Opens the gateway of an earlier runner again. @returns undefined if that fails: to the agent, there is no network. */
export async function reopenRunGateway(options: GatewayOptions): Promise<RunGateway | undefined> {
  const { sandbox, logger } = options;
  try {
    const { port, token } = JSON.parse(await readFile(sandbox.notes, "utf8")) as Notes;
    return await open(options, port === 0 ? socketOf(sandbox) : { port }, token);
  } catch (error) {
    logger.warn("an agent's way to its network could not be opened again", { error: messageOf(error) });
    return undefined;
  }
}

const folderOf = (sandbox: Sandbox) => join(dirname(sandbox.notes), "gateway");
const socketOf = (sandbox: Sandbox): GatewayPlace => ({ folder: folderOf(sandbox), socket: GATEWAY_SOCKET });

/** @param token that a running agent already has. */
async function open(
  options: GatewayOptions,
  place: GatewayPlace,
  token?: string,
): Promise<RunGateway & { notes: Notes }> {
  const { sandbox, runId, model, egress, project, writer, metrics, logger } = options;
  const servers = sandbox.remote?.servers ?? [];
  const records = createEgressRecords({
    load: writer.readEgress,
    store: (rows, refusals) => writer.recordEgress(rows, refusals.map(textEvent)),
    logger,
  });
  const proxy: ModelProxy | undefined =
    model && openModelProxy({ ...model, logger, onRefused: metrics.modelCallRefused });
  const exhausted = new AbortController();
  try {
    const onExhausted = (why: Exhausted) => {
      logger.warn("the run may call its model no more", {
        limit: why.scope ?? why.denied,
        reason: why.message,
      });
      exhausted.abort(why);
    };
    const grant = model && proxy?.grant({ id: runId, meter: model.meter, token, onExhausted });
    const isSocket = "folder" in place;
    const gateway: Gateway = await openGateway({
      place,
      policy: createPolicy({
        ...egress,
        needed: servers.map(neededRule),
        privateHosts: servers,
        publicOnly: project?.egress ?? [],
      }),
      modelPort: proxy?.port,
      ...(isSocket && { insidePort: GATEWAY_PORT }),
      onDecision(decision) {
        metrics.egressDecision(decision.allowed ? "allowed" : "refused");
        // Programs ask for any name, also for one with a secret in it.
        records.add({ ...decision, host: project?.redactor?.text(decision.host) ?? decision.host });
      },
      logger,
    });
    const port = isSocket ? GATEWAY_PORT : gateway.port;
    return {
      folder: isSocket ? folderOf(sandbox) : undefined,
      // The tools of a borrowed sandbox may be on this machine; whatever the agent starts is there, too.
      env: gatewayEnvironment({ port, hostLoopback: servers.length > 0 }),
      model: grant &&
        model && {
          baseUrl: `http://127.0.0.1:${port}${MODEL_API_STYLES[model.api].basePath}`,
          token: grant.token,
        },
      notes: { port: gateway.port, token: grant?.token },
      modelTrouble: () => grant?.trouble(),
      modelDenied: () => grant?.denied(),
      exhausted: exhausted.signal,
      async flush() {
        await Promise.all([records.flush(), grant?.settled()]);
      },
      async close() {
        await gateway.close();
        await proxy?.close();
        await Promise.all([records.flush(), grant?.settled()]);
      },
    };
  } catch (error) {
    await proxy?.close();
    throw error;
  }
}
