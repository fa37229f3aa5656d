/**
 * An IP allocator and its sandboxes, on loopback: the agent-sandbox API with real files and a real shell (in the folders
 * that callers name), and one MCP tool that runs a command. It can be slow, have no sandbox, reply nonsense, or be down.
 */
export type Mood = "well" | "slow" | "full" | "wrong" | "away";

export function startFakeAllocator(options: { sandboxes?: number } = {}) {
  const free = Array.from({ length: options.sandboxes ?? 3 }, (_, index) => `sandbox-${index + 1}`);
  const lent = new Map<string, string>();
  const seen = { borrows: 0, returns: 0, mcpCalls: 0 };
  let mood: Mood = "well";
  let returnMood: Mood = "well";

  const shell = async (command: string, cwd: string) => {
    const child = Bun.spawn(["sh", "-c", command], {
      cwd,
      env: { PATH: process.env["PATH"] ?? "" },
      stderr: "pipe",
    });
    const [output] = await Promise.all([child.stdout.text(), child.exited]);
    return { output, code: child.exitCode };
  };
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 120,
    async fetch(request): Promise<Response> {
      const url = new URL(request.url);
      // biome-ignore lint/suspicious/noExplicitAny: each operation has its own kind of body.
      const body: any = request.method === "POST" ? await request.json() : undefined;
      const parts = url.pathname.split("/");
      if (url.pathname === "/ip/borrow") {
        seen.borrows += 1;
        if (mood === "away") return new Response("no", { status: 502 });
        if (mood === "wrong") return new Response('{"item":{"api_url":"nonsense"}}');
        if (mood === "slow") await Bun.sleep(1_000);
        const name = mood === "full" ? undefined : free.pop();
        if (!name) return new Response("none available", { status: 503 });
        const borrow_token = `borrow-secret-${crypto.randomUUID()}`;
        lent.set(borrow_token, name);
        const mcp = { mcpServers: { sandbox: { type: "http", url: `${base}/mcp/${name}?key=mcp-secret` } } };
        const item = { id: name, mcp_json_string: JSON.stringify(mcp), api_url: `${base}/sandboxes/${name}` };
        return Response.json({ item, borrow_token });
      }
      if (url.pathname === "/ip/return") {
        if (returnMood === "away") return new Response("no", { status: 502 });
        const name = lent.get(body.borrow_token);
        if (!name) return new Response("unknown", { status: 404 });
        seen.returns += 1;
        lent.delete(body.borrow_token);
        free.push(name);
        return Response.json({ operation_id: "1", status: "done" });
      }
      if (parts[1] === "mcp") {
        if (request.method !== "POST") return new Response(null, { status: 405 });
        seen.mcpCalls += 1;
        return mcp(body);
      }
      if (![...lent.values()].includes(parts[2] ?? "")) return new Response("not lent", { status: 403 });
      if (url.pathname.endsWith("/v1/file/write")) {
        await Bun.write(body.file, Buffer.from(body.content, body.encoding));
        return Response.json({ success: true, message: "ok", data: { file: body.file } });
      }
      if (url.pathname.endsWith("/v1/shell/exec")) {
        const { output, code } = await shell(body.command, body.exec_dir);
        return Response.json({
          success: true,
          message: "ok",
          data: { output, exit_code: code, status: "completed" },
        });
      }
      return new Response("no such thing", { status: 404 });
    },
  });
  const base = `http://127.0.0.1:${server.port}`;

  /** As much of the Model Context Protocol over HTTP as one tool needs. */
  async function mcp(message: {
    id?: number;
    method: string;
    params?: Record<string, never>;
  }): Promise<Response> {
    const reply = (result: object) => Response.json({ jsonrpc: "2.0", id: message.id, result });
    switch (message.method) {
      case "initialize":
        return reply({
          protocolVersion: message.params?.["protocolVersion"],
          capabilities: { tools: {} },
          serverInfo: { name: "fake", version: "1" },
        });
      case "tools/list":
        return reply({
          tools: [
            {
              name: "shell",
              description: "Runs a shell command in the sandbox",
              inputSchema: {
                type: "object",
                properties: { command: { type: "string" } },
                required: ["command"],
              },
            },
          ],
        });
      case "tools/call": {
        const { command } = (message.params as unknown as { arguments: { command: string } }).arguments;
        const { output, code } = await shell(command, "/");
        return reply({ content: [{ type: "text", text: output }], isError: code !== 0 });
      }
      default:
        return message.id === undefined ? new Response(null, { status: 202 }) : reply({});
    }
  }

  return {
    url: base,
    seen,
    lent,
    free,
    set mood(next: Mood) {
      mood = next;
    },
    set returnMood(next: Mood) {
      returnMood = next;
    },
    stop: () => server.stop(true),
  };
}
