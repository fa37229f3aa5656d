import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findChromium, NO_CHROMIUM } from "../harness/machine.ts";
import { until } from "../harness/until.ts";

/** How many times slower the processor is. */
export const SLOWED = 4;
/** A browser settles before the load, and the load ends before anybody looks: milliseconds. */
const SETTLED_MS = 1_500;
const LOADED_MS = 4_000;

export interface FirstLoad {
  /** The largest contentful paint, in milliseconds since the navigation. */
  paint: number;
  /** Bytes of script on the wire until then. */
  script: number;
}

const LOOK = `new Promise((done) => {
  if (!document.querySelector(".inbox-row")) throw new Error("the inbox does not show");
  const scripts = performance.getEntriesByType("resource").filter(({ name }) => name.endsWith(".js"));
  new PerformanceObserver((list) => {
    const paint = list.getEntries().at(-1).startTime;
    const before = scripts.filter(({ responseEnd }) => responseEnd <= paint);
    done({ paint, script: before.reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0) });
  }).observe({ type: "largest-contentful-paint", buffered: true });
})`;

/** Loads a page in a Chromium of its own, over the DevTools protocol, which nothing but the processor's speed is asked of meanwhile. */
export async function firstLoad(url: string): Promise<FirstLoad> {
  const chromium = findChromium();
  if (!chromium) throw new Error(NO_CHROMIUM);
  const folder = await mkdtemp(join(tmpdir(), "pb-first-load-"));
  const browser = Bun.spawn(
    [
      ...[chromium, "--headless=new", "--no-sandbox", "--no-first-run", "--disable-background-networking"],
      ...["--remote-debugging-port=0", `--user-data-dir=${folder}`, "--window-size=1440,900", "about:blank"],
    ],
    { stdout: "ignore", stderr: "ignore" },
  );
  try {
    const port = await until(
      async () => (await readFile(join(folder, "DevToolsActivePort"), "utf8")).split("\n")[0],
      { what: "Chromium to listen" },
    );
    await Bun.sleep(SETTLED_MS);
    const pages = (await (await fetch(`http://127.0.0.1:${port}/json/list`)).json()) as {
      type: string;
      webSocketDebuggerUrl: string;
    }[];
    const page = pages.find(({ type }) => type === "page");
    if (!page) throw new Error("Chromium has no page");
    const devtools = await connect(page.webSocketDebuggerUrl);
    await devtools("Emulation.setCPUThrottlingRate", { rate: SLOWED });
    await devtools("Page.navigate", { url });
    await Bun.sleep(LOADED_MS);
    const { result, exceptionDetails } = await devtools("Runtime.evaluate", {
      ...{ expression: LOOK, awaitPromise: true, returnByValue: true },
    });
    if (exceptionDetails) throw new Error(result.description);
    return result.value;
  } finally {
    browser.kill("SIGKILL");
    await browser.exited;
    await rm(folder, { recursive: true, force: true });
  }
}

async function connect(url: string) {
  const socket = new WebSocket(url);
  const opened = Promise.withResolvers<void>();
  socket.onopen = () => opened.resolve();
  socket.onerror = () => opened.reject(new Error("Chromium's DevTools refused the connection"));
  await opened.promise;
  const answers: ((result: Evaluated) => void)[] = [];
  socket.onmessage = ({ data }) => {
    const { id, result } = JSON.parse(String(data)) as { id?: number; result: Evaluated };
    if (id !== undefined) answers[id]?.(result);
  };
  return (method: string, params: object) =>
    new Promise<Evaluated>((resolve) => {
      const id = answers.push(resolve) - 1;
      socket.send(JSON.stringify({ id, method, params }));
    });
}

interface Evaluated {
  result: { value: FirstLoad; description?: string };
  exceptionDetails?: object;
}
