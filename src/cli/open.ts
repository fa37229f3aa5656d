import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findProgram } from "../agents/find-program.ts";
import { noteAct } from "../audit/noted-acts.ts";
import { SIGN_IN_MINUTES } from "../auth/local-issuer.ts";
import type { Config } from "../config/config.ts";
import { urlHost } from "../server/listen.ts";
import { OperatorError } from "../shared/errors.ts";
import { signInLink } from "./sign-in-link.ts";

interface Output {
  write(text: string): unknown;
}

/**
 * `prompt-backend open`: prints a link to the console as the only line on stdout, and opens it where there is a display. The
 * service may be running, as another process: the link is signed with the key in DATA_DIR, and the service sees to it that
 * it is used once.
 * @param options.url where the service is reached; undefined: HOST and PORT say it.
 * @param options.display the environment of programs that open a window; undefined where there is no display.
 * @throws OperatorError when it is not known where the service listens, or the link cannot be made.
 */
export async function runOpen(options: {
  config: Config;
  url: string | undefined;
  display: Record<string, string | undefined> | undefined;
  stdout: Output;
  stderr?: Output;
}): Promise<void> {
  const { config, display, stdout, stderr = process.stderr } = options;
  const url = options.url === undefined ? configuredUrl(config) : originOf(options.url);
  const link = signInLink(config, url);
  if (config.auth.mode === "local") {
    noteAct(config.dataDir, {
      action: "token.issue",
      target: "user:me",
      detail: { link: url, minutes: SIGN_IN_MINUTES },
    });
    stderr.write(`Signs one browser of this machine in, within ${SIGN_IN_MINUTES} minutes:\n`);
  }
  stdout.write(`${link}\n`);
  const opener = display && findProgram(process.platform === "darwin" ? "open" : "xdg-open", config.path);
  if (!opener) return;
  const opening = Bun.spawn([opener.path, writePage(config.dataDir, link)], {
    env: display,
    stdio: ["ignore", "ignore", "ignore"],
  });
  // Some openers stay as long as the browser does.
  opening.unref();
}

function configuredUrl({ host, port }: Config): string {
  if (port === 0) throw new OperatorError("PORT=0 is any free port; name the service's address by --url.", 2);
  return `http://${urlHost(host)}:${port}`;
}

/** @throws OperatorError (exit code 2) unless it is the address of a service. */
function originOf(url: string): string {
  const parsed = URL.parse(url);
  if (parsed && /^https?:$/.test(parsed.protocol)) return parsed.origin;
  throw new OperatorError(
    `--url must be an address such as http://127.0.0.1:8000, not ${JSON.stringify(url)}.`,
    2,
  );
}

/** A page that leads to the link: the arguments of programs can be read by every user of this machine. @returns its path. */
function writePage(dataDir: string, link: string): string {
  const page = join(dataDir, "open.html");
  rmSync(page, { force: true });
  writeFileSync(page, `<!doctype html><meta http-equiv="refresh" content="0;url=${link}">\n`, {
    flag: "wx",
    mode: 0o600,
  });
  return page;
}
