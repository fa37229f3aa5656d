/** Exit code of a check that cannot run here and has said why: .ci/run names it, and does not count it. */
export const CANNOT_RUN = 75;

/**
 * Runs a program, and waits for its end.
 * @param options.env in addition to the environment of this process.
 * @returns what it prints to stdout. @throws Error with all that it prints if it fails.
 */
export async function run(
  argv: readonly string[],
  options: { cwd: string; env?: Record<string, string> },
): Promise<string> {
  const child = Bun.spawn([...argv], {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (code !== 0) throw new Error(`${argv.join(" ")} failed with exit code ${code}:\n${out}${err}`);
  return out;
}
