import packageJson from "../package.json" with { type: "json" };
import { parseArgs } from "./cli/args.ts";
import {
  agentEnvironment,
  displayEnvironment,
  forgetSecrets,
  gitEnvironment,
  readConfig,
  secretsOf,
} from "./config/config.ts";
import { OperatorError } from "./shared/errors.ts";
import { TASK_NAMES } from "./tasks/names.ts";

const { version } = packageJson;

/** Each command loads only the modules that it needs, so that the demo agent and --help start fast. @returns the exit code. */
async function main(args: readonly string[]): Promise<number> {
  const command = parseArgs(args, TASK_NAMES);
  // Whatever is written in DATA_DIR is this user's alone. An agent's files are its user's work.
  if (command.name !== "demo-agent" && command.name !== "agent-driver") process.umask(0o077);
  const print = (line: string) => void process.stdout.write(`${line}\n`);
  switch (command.name) {
    case "version":
      print(version);
      return 0;
    case "help":
      print((await import("./cli/help.ts")).helpText(version, TASK_NAMES));
      return 0;
    case "demo-agent":
      return (await import("./agents/demo-main.ts")).runDemoAgent({
        stdin: process.stdin,
        stdout: process.stdout,
        cwd: process.cwd(),
        env: gitEnvironment(),
      });
    case "agent-driver":
      return (await import("./driver/main.ts")).runDriver({
        stdin: Bun.stdin,
        stdout: process.stdout,
        stderr: process.stderr,
        env: agentEnvironment(),
        cwd: process.cwd(),
        onSignal: (signals, act) => {
          for (const signal of signals) process.on(signal, act);
        },
      });
    case "print-openapi":
      // Waits until everything is written: the text is longer than a pipe's buffer, and the process exits right after.
      await Bun.write(Bun.stdout, await (await import("./cli/print-openapi.ts")).printedOpenApi(version));
      return 0;
    case "token":
      await (await import("./cli/token.ts")).runToken({
        ...(await settings({ serves: false })),
        ...command,
        stdout: process.stdout,
      });
      return 0;
    case "open":
      await (await import("./cli/open.ts")).runOpen({
        ...(await settings({ serves: false })),
        ...command,
        display: displayEnvironment(),
        stdout: process.stdout,
      });
      return 0;
    case "provenance-key":
      (await import("./cli/provenance-key.ts")).runProvenanceKey({
        ...(await settings({ serves: false })),
        stdout: process.stdout,
      });
      return 0;
    case "verify":
      await (await import("./cli/verify.ts")).runVerify({
        ...command,
        readSettings: () => settings({ serves: false }),
        gitEnvironment: gitEnvironment(),
        print,
      });
      return 0;
    case "migrate":
      return (await import("./cli/migrate.ts")).runMigrate({
        ...(await settings({ serves: false })),
        check: command.check,
        print,
      });
    case "doctor":
      return (await import("./cli/doctor.ts")).runDoctor({ json: command.json, print });
    case "sandbox-check":
      return (await import("./cli/sandbox-check.ts")).runSandboxCheck({
        ...(await settings({ serves: false })),
        ...command,
        print,
      });
    case "attack":
      return (await import("./sandbox-check/inside.ts")).runAttacks({
        ...command,
        stdin: process.stdin,
      });
    case "backup":
      await (await import("./cli/backup.ts")).runBackup({
        ...(await settings({ serves: false })),
        ...command,
        version,
      });
      return 0;
    case "restore":
      await (await import("./cli/restore.ts")).runRestore({
        ...(await settings({ serves: false })),
        ...command,
      });
      return 0;
    case "run": {
      const given = await settings({ serves: command.server, repositories: command.repositories });
      if (given.config.databaseUrl === undefined) {
        const { compileProgram } = await import("./db/embedded-program.ts");
        // Opening the database says what is wrong.
        compileProgram().catch(() => undefined);
      }
      return (await import("./cli/run.ts")).runService({ ...given, ...command, version, print });
    }
  }
}

async function settings(options: { serves: boolean; repositories?: string | undefined }) {
  const { createLogger } = await import("./observability/logger.ts");
  const config = readConfig(undefined, options);
  const { names, overwritten } = forgetSecrets();
  const logger = createLogger({
    level: config.logLevel,
    pretty: process.stderr.isTTY,
    secrets: secretsOf(config),
  });
  if (overwritten === false)
    logger.warn("secrets stay readable in /proc for root and this user: give them by files (NAME_FILE)", {
      names,
    });
  return { config, logger };
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: unknown) => {
    // An operator's mistake needs its message alone; anything else is a bug, whose report needs the stack.
    process.stderr.write(
      error instanceof OperatorError
        ? `prompt-backend: ${error.message}\n`
        : `${error instanceof Error ? error.stack : String(error)}\n`,
    );
    process.exit(error instanceof OperatorError ? error.exitCode : 1);
  },
);
