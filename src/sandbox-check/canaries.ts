import { createSocket } from "node:dgram";
import { chmod, mkdir, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { basename, join } from "node:path";
import { type Bait, CANARY } from "./attack.ts";

/** Files with secrets, and listeners that notice visitors. */
export interface Canaries extends Bait {
  /** Beside it is a file for its owner's eyes. */
  program: string;
  /** Kinds of listeners that were reached since the last call. */
  takeVisitors(): string[];
  remove(): Promise<void>;
}

/** Its name says to which check it belongs: a check that was killed leaves it behind. */
export const etcCanaryOf = (folder: string) => `/etc/prompt-backend-sandbox-${basename(folder)}`;

/** @param folder a new folder of the check. @param dataDir the service's DATA_DIR in this check, which exists. */
export async function openCanaries(options: { folder: string; dataDir: string }): Promise<Canaries> {
  const { folder, dataDir } = options;
  const secret = () => `${CANARY}${crypto.randomUUID()}\n`;
  const secretFile = join(dataDir, "secret");
  await writeFile(secretFile, secret());
  // As they are where a service's files were made by another umask.
  await chmod(secretFile, 0o644);
  const bin = join(folder, "program");
  await mkdir(bin, { mode: 0o755 });
  await chmod(folder, 0o755);
  const [program, besideProgram] = [join(bin, "agent"), join(bin, "token")];
  await writeFile(program, "#!/bin/sh\n", { mode: 0o755 });
  await writeFile(besideProgram, secret(), { mode: 0o600 });
  const etc = etcCanaryOf(folder);
  const etcSecret = await writeFile(etc, secret(), { mode: 0o600 }).then(
    () => etc,
    () => undefined,
  );

  let visitors: string[] = [];
  const servers: Server[] = [];
  const listen = async (name: string, where: { host: string; port: number } | { path: string }) => {
    const server = createServer((socket) => {
      visitors.push(name);
      socket.on("error", () => undefined).end("sandbox-check\n");
    });
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    server.once("error", reject);
    server.listen(where, () => {
      const address = server.address();
      resolve(typeof address === "object" && address ? address.port : 0);
    });
    const port = await promise;
    servers.push(server);
    return port;
  };
  const abstractSocket = `sandbox-check-${crypto.randomUUID()}`;
  const pathSocket = join(dataDir, "control.sock");
  const tcpPort = await listen("tcp", { host: "127.0.0.1", port: 0 });
  const tcp6Port = await listen("tcp6", { host: "::1", port: 0 }).catch(() => undefined);
  await listen("abstract", { path: `\0${abstractSocket}` });
  await listen("path", { path: pathSocket });
  const freePort = await freePortOf();
  const udp = createSocket("udp4", () => visitors.push("udp"));
  const bound = Promise.withResolvers<void>();
  udp.once("error", bound.reject).bind(0, "127.0.0.1", bound.resolve);
  await bound.promise;

  return {
    ...{
      secretFile,
      program,
      besideProgram,
      etcSecret,
      tcpPort,
      tcp6Port,
      abstractSocket,
      pathSocket,
      freePort,
    },
    udpPort: udp.address().port,
    takeVisitors() {
      const taken = visitors;
      visitors = [];
      return taken;
    },
    async remove() {
      for (const server of servers) server.close();
      udp.close();
      if (etcSecret) await rm(etcSecret, { force: true });
    },
  };
}

/** A port that was free a moment ago. */
async function freePortOf(): Promise<number> {
  const server = createServer();
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  const closed = Promise.withResolvers<void>();
  server.close(() => closed.resolve());
  await closed.promise;
  return port;
}
