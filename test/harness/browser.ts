import { type Browser, chromium } from "playwright-core";
import { findChromium, isRoot } from "./machine.ts";

/** A headless browser of one's own that reaches 127.0.0.1 and nothing else. Close it in afterAll. */
export async function openBrowser(): Promise<Browser> {
  const executablePath = findChromium();
  if (!executablePath) throw new Error("no Chromium on this machine");
  return chromium.launch({
    executablePath,
    args: [
      "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
      "--disable-dev-shm-usage",
      // Chromium's own sandbox refuses to run as root.
      ...(isRoot ? ["--no-sandbox"] : []),
    ],
  });
}
