import { join, resolve } from "node:path";

export const ROOT = resolve(import.meta.dir, "../..");

export const read = (path: string) => Bun.file(join(ROOT, path)).text();

/** A guide's shell blocks, each with the `##` heading above it. */
export async function blocksOf(path: string): Promise<{ heading: string; commands: string }[]> {
  let heading = "";
  const found: { heading: string; commands: string }[] = [];
  for (const [, title, commands] of (await read(path)).matchAll(/^## ([^\n]*)$|^```sh\n(.*?)^```$/gms)) {
    if (commands === undefined) heading = title?.trim() ?? "";
    else found.push({ heading, commands });
  }
  return found;
}

/** Runs commands in a shell that stops at the first failure. */
export async function shell(commands: string, options: { cwd: string; env?: Record<string, string> }) {
  const child = Bun.spawn(["bash", "-euo", "pipefail", "-c", commands], {
    cwd: options.cwd,
    env: { PATH: process.env["PATH"] ?? "", HOME: options.cwd, ...options.env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { out, err, code };
}
