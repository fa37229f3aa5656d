import { createHash } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import {
  type ClientContext,
  type InitializeResponse,
  type McpServer,
  methods,
  type NewSessionResponse,
  RequestError,
  type SessionConfigOption,
} from "@agentclientprotocol/sdk";
import { type AcpSpec, type DriverSpec, resumableSession, toldInstructions } from "../agents/driver-spec.ts";
import { parseObject } from "../agents/events.ts";
import { asObject, type JsonObject } from "../shared/json.ts";

/** Signing in without anybody there. */
const KEY_METHOD = /api[-_]?key/i;
const AUTH_REQUIRED = -32000;

/** The agent does not have the conversation that it is to continue. */
export class ConversationLost extends Error {
  override readonly name = "ConversationLost";
}

/**
 * Begins the conversation or continues it, in the mode and with the model of the prompt.
 * @returns the agent's id of it, whether it has been told these instructions, and the names of the MCP servers that it cannot have.
 */
export async function openSession(
  agent: ClientContext,
  about: InitializeResponse,
  spec: DriverSpec & { acp: AcpSpec },
): Promise<{ sessionId: string; isInstructed: boolean; unreachable: string[] }> {
  const { acp, resume, mode } = spec;
  const servers = Object.entries(acp.mcpServers ?? {});
  const canHave = ([, server]: (typeof servers)[number]) => isReachable(about, server);
  const told = toldInstructions(await readFile(acp.sessionFile, "utf8").catch(() => ""));
  const request = {
    cwd: acp.checkout,
    mcpServers: mcpServers(servers.filter(canHave)),
    ...(acp.meta && { _meta: acp.meta }),
  };
  const open: () => Promise<NewSessionResponse> = resume
    ? () => continueSession(agent, about, { ...request, file: acp.sessionFile })
    : () => agent.request(methods.agent.session.new, request);
  const session = await open().catch(async (error: unknown) => {
    if (!(error instanceof RequestError) || error.code !== AUTH_REQUIRED) throw error;
    const offered = (about.authMethods ?? []).map((one) => one.id).filter((id) => KEY_METHOD.test(id));
    for (const methodId of offered)
      await agent.request(methods.agent.authenticate, { methodId }).catch(() => undefined);
    return open();
  });
  const { sessionId } = session;
  const instructions = acp.instructions && createHash("sha256").update(acp.instructions).digest("hex");
  await remember(acp.sessionFile, { sessionId, checkout: acp.checkout, instructions });
  await setMode(agent, session, { mode, ids: acp.modes?.[mode] ?? [] });
  if (acp.model) await setModel(agent, session, acp.model);
  return {
    sessionId,
    isInstructed: !instructions || (resume && instructions === told),
    unreachable: servers.filter((one) => !canHave(one)).map(([name]) => name),
  };
}

async function continueSession(
  agent: ClientContext,
  about: InitializeResponse,
  { file, ...request }: { cwd: string; mcpServers: McpServer[]; file: string },
): Promise<NewSessionResponse> {
  const sessionId = resumableSession(await readFile(file, "utf8").catch(() => ""));
  if (sessionId === undefined) throw new ConversationLost("The agent's own id of the conversation is lost.");
  const { loadSession, sessionCapabilities } = about.agentCapabilities ?? {};
  // What was said before need not be told again.
  const method = sessionCapabilities?.resume ? methods.agent.session.resume : methods.agent.session.load;
  if (!sessionCapabilities?.resume && !loadSession)
    throw new ConversationLost("The agent cannot continue conversations.");
  try {
    const reply = await agent.request<JsonObject>(method as string, { ...request, sessionId });
    return { ...reply, sessionId } as NewSessionResponse;
  } catch (error) {
    if (error instanceof RequestError && error.code !== AUTH_REQUIRED)
      throw new ConversationLost(`The agent could not continue the conversation: ${error.message}`);
    throw error;
  }
}

async function remember(file: string, what: object): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  await writeFile(`${file}.new`, JSON.stringify(what));
  await rename(`${file}.new`, file);
}

/** @throws Error if the agent would act without asking, though it shall ask. */
async function setMode(
  agent: ClientContext,
  session: NewSessionResponse,
  wanted: { mode: DriverSpec["mode"]; ids: readonly string[] },
): Promise<void> {
  const { sessionId, modes } = session;
  const offered = (modes?.availableModes ?? []).map((one) => one.id);
  const modeId = wanted.ids.find((id) => offered.includes(id));
  if (modeId === undefined && wanted.mode === "ask" && wanted.ids.length > 0 && offered.length > 0)
    throw new Error(
      `The agent has none of the modes in which it asks (${wanted.ids.join(", ")}), only ${offered.join(", ")}.`,
    );
  if (modeId !== undefined && modeId !== modes?.currentModeId)
    await agent.request(methods.agent.session.setMode, { sessionId, modeId });
}

/** @throws Error if it is none of the agent's. */
async function setModel(agent: ClientContext, session: NewSessionResponse, model: string): Promise<void> {
  const { sessionId } = session;
  const option = (session.configOptions ?? []).find(
    (one) => one.category === "model" && one.type === "select",
  );
  if (option) {
    const value = valuesOf(option).find((one) => one === model || one.endsWith(`/${model}`));
    if (value === undefined) throw new Error(`The agent has no model ${JSON.stringify(model)}.`);
    const request = { sessionId, configId: option.id, value };
    await agent.request(methods.agent.session.setConfigOption, request);
    return;
  }
  // Older agents.
  if ("models" in session) await agent.request("session/set_model", { sessionId, modelId: model });
}

function valuesOf(option: SessionConfigOption): string[] {
  const entries: unknown[] = "options" in option ? (option.options as unknown[]) : [];
  return entries
    .flatMap((one) => (asObject(one)?.["options"] as unknown[] | undefined) ?? [one])
    .map((one) => String(asObject(one)?.["value"]));
}

/** Every agent starts servers, and some reach others. */
function isReachable(about: InitializeResponse, server: unknown): boolean {
  const { http, sse } = about.agentCapabilities?.mcpCapabilities ?? {};
  const { type, url } = asObject(server) ?? {};
  return typeof url !== "string" || (type === "sse" ? sse === true : http === true);
}

/** From the shape of Claude Code's configuration. */
function mcpServers(servers: readonly (readonly [name: string, server: unknown])[]): McpServer[] {
  const pairs = (value: unknown) =>
    Object.entries(asObject(value) ?? {}).map(([name, one]) => ({ name, value: String(one) }));
  return servers.flatMap(([name, value]): McpServer[] => {
    const { type, url, headers, command, args, env } = asObject(value) ?? {};
    if (typeof url === "string")
      return [{ type: type === "sse" ? "sse" : "http", name, url, headers: pairs(headers) }];
    if (typeof command !== "string") return [];
    return [{ name, command, args: Array.isArray(args) ? args.map(String) : [], env: pairs(env) }];
  });
}

/** The reason in an error of the protocol, with what the agent adds to it. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof RequestError)) return error instanceof Error ? error.message : String(error);
  const data = asObject(error.data);
  const detail = data ? (data["details"] ?? data["message"] ?? JSON.stringify(data)) : error.data;
  return [
    error.message,
    typeof detail === "string" ? (parseObject(detail)?.["message"] ?? detail) : undefined,
  ]
    .filter((one) => typeof one === "string" && one !== "")
    .join(": ");
}
