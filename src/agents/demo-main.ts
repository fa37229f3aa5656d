import { spawn } from "node:child_process";
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";

// Node's own modules only: this starts for each prompt and should take milliseconds.

const FILE = "PROMPTS.md";
const AUTHOR = ["-c", "user.name=prompt-backend demo", "-c", "user.email=demo@prompt-backend.invalid"];
// The repository's hooks and signing must not affect the demo.
const QUIET = ["-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null"];

export interface DemoStreams {
  /** The prompt. */
  stdin: AsyncIterable<Uint8Array | string>;
  stdout: { write(text: string, done: () => void): unknown };
  /** The checkout. */
  cwd: string;
  /** For git: PATH and HOME. */
  env: Readonly<Record<string, string | undefined>>;
}

/**
 * The demo agent: appends the prompt to PROMPTS.md, commits it, prints events like Claude Code's, and says that it is a
 * demo.
 * @returns the exit code: 0, or 1 if the commit failed; then the result line has the reason.
 */
export async function runDemoAgent({ stdin, stdout, cwd, env }: DemoStreams): Promise<0 | 1> {
  const started = Date.now();
  const session_id = crypto.randomUUID();
  const print = (event: Record<string, unknown>) =>
    new Promise<void>((resolve) => {
      const line = JSON.stringify({ ...event, session_id, uuid: crypto.randomUUID() });
      stdout.write(`${line}\n`, resolve);
    });
  const say = (text: string) => print(assistant({ type: "text", text }));
  const finish = async (is_error: boolean, result: string) => {
    const subtype = is_error ? "error_during_execution" : "success";
    const duration_ms = Date.now() - started;
    const usage = { input_tokens: 0, output_tokens: 0 };
    const end = { is_error, result, num_turns: 2, duration_ms, total_cost_usd: 0, usage };
    await print({ type: "result", subtype, terminal_reason: is_error ? "demo_failed" : "completed", ...end });
    return is_error ? 1 : 0;
  };

  await print({ type: "system", subtype: "init", cwd, model: "demo", tools: ["Bash"] });
  const prompt = await textOf(stdin);
  await say(
    "This is the built-in demo, not a coding agent: it only writes your prompt into PROMPTS.md and commits it, so that " +
      "you can see a session from prompt to branch. For a real agent set ANTHROPIC_API_KEY, install Claude Code " +
      "(`npm install -g @anthropic-ai/claude-code`) and start the service again.",
  );
  const id = `toolu_demo_${crypto.randomUUID()}`;
  const command = `cat >> ${FILE} && git commit -m "Add a prompt to ${FILE}" -- ${FILE}`;
  await print(
    assistant({ type: "tool_use", id, name: "Bash", input: { command, description: "Keep the prompt" } }),
  );
  let output: string;
  let failed = false;
  try {
    await append(join(cwd, FILE), entryFor(prompt));
    // Forced: a repository may ignore the file.
    await git(["add", "--force", "--", FILE], cwd, env);
    output = await git(
      [...AUTHOR, ...QUIET, "commit", "-m", `Add a prompt to ${FILE}`, "--", FILE],
      cwd,
      env,
    );
  } catch (error) {
    failed = true;
    output = error instanceof Error ? error.message : String(error);
  }
  const content = [{ type: "tool_result", tool_use_id: id, content: output.trim(), is_error: failed }];
  await print({ type: "user", message: { role: "user", content } });
  if (failed) return await finish(true, `The demo could not commit the prompt: ${output.trim()}`);
  const done = `Done: your prompt is in ${FILE}, committed on this session's branch.`;
  await say(done);
  return await finish(false, done);
}

function assistant(block: Record<string, unknown>) {
  return { type: "assistant", message: { role: "assistant", model: "demo", content: [block] } };
}

function entryFor(prompt: string): string {
  const quote = prompt
    .trim()
    .split(/\r?\n/)
    .map((line) => `> ${line}`.trimEnd());
  return `## ${new Date().toISOString()}\n\n${quote.join("\n")}\n\n`;
}

/** Follows no symbolic link: a repository could point it anywhere. */
async function append(path: string, text: string): Promise<void> {
  const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;
  const file = await open(path, flags, 0o644);
  try {
    await file.appendFile(text);
  } finally {
    await file.close();
  }
}

/** @returns git's output. @throws Error with git's output. */
async function git(args: string[], cwd: string, env: DemoStreams["env"]): Promise<string> {
  const child = spawn("git", args, { cwd, env: { ...env }, stdio: ["ignore", "pipe", "pipe"] });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  const [stdout, stderr, code] = await Promise.all([textOf(child.stdout), textOf(child.stderr), ended]);
  if (code !== 0) throw new Error(`git ${args.at(-3)}: ${stderr || stdout || `exit code ${code}`}`);
  return stdout;
}

async function textOf(stream: AsyncIterable<Uint8Array | string>): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(typeof part === "string" ? Buffer.from(part) : part);
  return Buffer.concat(parts).toString("utf8");
}
