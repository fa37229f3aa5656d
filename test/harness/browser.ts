import { type Browser, chromium } from "playwright-core";
import { findChromium, isRoot } from "./machine.ts";

/**
 * Starts a headless browser that reaches nothing but the loopback address. Close it in afterAll.
 * @param options.ports ports of localhost that lead to others: pages keep the origins that they will have.
 */
export async function openBrowser(
  options: { ports?: Readonly<Record<number, number>> } = {},
): Promise<Browser> {
  const executablePath = findChromium();
  if (!executablePath) throw new Error("Chromium is not installed");
  const moved = Object.entries(options.ports ?? {}).map(
    ([from, to]) => `MAP localhost:${from} 127.0.0.1:${to}`,
  );
  return chromium.launch({
    executablePath,
    args: [
      `--host-resolver-rules=${[...moved, "MAP localhost 127.0.0.1", "MAP * ~NOTFOUND", "EXCLUDE 127.0.0.1"].join(", ")}`,
      "--disable-dev-shm-usage",
      // Chromium's own sandbox refuses to run as root.
      ...(isRoot ? ["--no-sandbox"] : []),
    ],
  });
}
