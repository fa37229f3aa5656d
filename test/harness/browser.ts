import { type Browser, chromium } from "playwright-core";
import { findChromium, isRoot } from "./machine.ts";

/** Starts a headless browser that reaches no host but 127.0.0.1. Close it in afterAll. */
export async function openBrowser(): Promise<Browser> {
  const executablePath = findChromium();
  if (!executablePath) throw new Error("Chromium is not installed");
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
