import { expect } from "bun:test";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { delimiter, join } from "node:path";
import { GATEWAY_PORT } from "../../src/sandboxes/isolation/isolation.ts";
import { type Deployment, programArgv } from "../harness/backend.ts";
import { freePort } from "../harness/machine.ts";
import { type RunningProcess, startProcess } from "../harness/process.ts";
import { START_TIMEOUT_MS } from "../harness/timeouts.ts";
import { until } from "../harness/until.ts";
import { blocksOf, shell } from "./guide.ts";

/** The guide's shell blocks, to be taken in order. Taking a missing block fails; `left` lists the untaken ones. */
export async function openGuide(path: string) {
  const blocks = await blocksOf(path);
  return {
    take(heading: string): string {
      const at = blocks.findIndex((one) => one.heading === heading);
      if (at < 0) throw new Error(`${path} has no (more) commands under "${heading}"`);
      return String(blocks.splice(at, 1)[0]?.commands);
    },
    left: () => blocks.map(({ heading }) => heading),
  };
}

/** An operator's machine, with `prompt-backend` on its PATH. */
export async function operator(deployment: Deployment, env: Record<string, string>) {
  const bin = join(deployment.folder, "bin");
  await mkdir(bin);
  await writeFile(
    join(bin, "prompt-backend"),
    `#!/bin/sh\nexec ${programArgv()
      .map((one) => `'${one}'`)
      .join(" ")} "$@"\n`,
  );
  await chmod(join(bin, "prompt-backend"), 0o755);
  const all = { ...deployment.env, ...env, PATH: `${bin}${delimiter}${process.env["PATH"]}` };
  return {
    /** Runs commands, which must succeed. @returns their output. */
    async run(commands: string, more: Record<string, string> = {}, cwd = deployment.folder): Promise<string> {
      const { out, err, code } = await shell(commands, { cwd, env: { ...all, ...more } });
      expect([commands, code, code === 0 ? "" : `${out}\n${err}`]).toEqual([commands, 0, ""]);
      return out;
    },
    /** Starts a process that stays in the foreground, and waits until it is up. */
    async start(commands: string, more: Record<string, string> = {}) {
      const running = startProcess({
        argv: ["bash", "-c", commands],
        env: { ...all, ...more },
        cwd: deployment.folder,
      });
      const [, url = ""] = await running.waitForLine(/(?:listens on (\S+)|prompt-backend runs )/, {
        timeoutMs: START_TIMEOUT_MS,
      });
      return { ...running, url };
    },
  };
}

/** Stops processes with SIGTERM; each must exit with 0. */
export async function stop(...processes: RunningProcess[]): Promise<void> {
  for (const one of processes) one.kill("SIGTERM");
  for (const one of processes) expect(await one.exit).toEqual({ code: 0, signal: null });
}

/** One user's API calls. @param url the server's current URL. */
export function client(url: () => string, token: string) {
  const ask = async (method: string, path: string, body?: unknown) => {
    const reply = await fetch(`${url()}${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    // biome-ignore lint/suspicious/noExplicitAny: tests read responses of every shape, and assert what they read.
    return { status: reply.status, body: (await reply.json()) as any };
  };
  return {
    ask,
    async submit(repo: string, text: string): Promise<{ sessionId: string; promptId: string }> {
      const { status, body } = await ask("POST", "/sessions/with-prompt", {
        repo,
        target_branch: "main",
        messages: text,
      });
      expect([status, body.error]).toEqual([200, undefined]);
      return body;
    },
    /** Waits until the branch is delivered and the sandbox returned. */
    done: (id: string) =>
      until(
        async () => {
          const { uiStatus, inboxStatus } = (await ask("GET", `/sessions/${id}`)).body.session;
          if (inboxStatus === "Failed") throw new Error("its run failed");
          return uiStatus === "NeedsReviewIpReturned" && inboxStatus === "Completed";
        },
        { what: `session ${id}`, timeoutMs: 60_000 },
      ),
    /** How many messages of the agent contain this line: lines that come together are one message. */
    said: async (promptId: string, what: string) =>
      (await ask("GET", `/prompts/${promptId}/messages`)).body.messages.filter((one: unknown) =>
        new RegExp(`(?:"|\\\\n)${what}(?:"|\\\\n)`).test(JSON.stringify(one)),
      ).length,
  };
}

/** An agent that prints `begun`, and ends once the gate is open. */
export async function makeGate() {
  const port = await freePort();
  // Through the gateway of its sandbox, which answers 200 once there is a connection.
  const knock = `exec 3<>/dev/tcp/127.0.0.1/${GATEWAY_PORT} && printf 'CONNECT 127.0.0.1:${port} HTTP/1.1\\r\\n\\r\\n' >&3 && read -r _ code _ <&3 && [ "$code" = 200 ]`;
  const script = `echo begun; until (${knock}) 2>/dev/null; do sleep 0.1; done; cat > work.txt; echo ended`;
  const server = createServer((socket) => socket.destroy());
  return {
    env: {
      AGENT: "command",
      AGENT_COMMAND: JSON.stringify(["bash", "-c", script]),
      EGRESS: "list",
      EGRESS_ALLOW: `127.0.0.1:${port}`,
    },
    open: () => new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve)),
    shut: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}
