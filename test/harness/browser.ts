import { type Browser, chromium } from "playwright-core";
import { launch, type Browser as PuppeteerBrowser } from "puppeteer-core";
import { findChromium, findFirefox, isRoot } from "./machine.ts";

/**
 * Starts a headless Chromium that reaches nothing but the loopback address. Close it in afterAll.
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

/** A port of 127.0.0.1 at which nobody listens. */
const NOBODY = 9;

/**
 * Starts a headless Firefox that reaches nothing but the loopback address. Close it in afterAll. It is driven by WebDriver
 * BiDi, which the system's Firefox speaks: Playwright drives a build of its own alone.
 * @param options.prefs of about:config, in addition.
 */
export async function openFirefox(
  options: { prefs?: Readonly<Record<string, unknown>> } = {},
): Promise<PuppeteerBrowser> {
  const executablePath = findFirefox();
  if (!executablePath) throw new Error("Firefox is not installed");
  return launch({
    browser: "firefox",
    executablePath,
    extraPrefsFirefox: {
      // A proxy that is not there, for all but the loopback address, which Firefox never asks a proxy for.
      "network.proxy.type": 1,
      "network.proxy.http": "127.0.0.1",
      "network.proxy.http_port": NOBODY,
      "network.proxy.ssl": "127.0.0.1",
      "network.proxy.ssl_port": NOBODY,
      ...options.prefs,
    },
  });
}
