import { chmodSync, closeSync, constants, mkdirSync, openSync, renameSync, rmSync } from "node:fs";
import type { Server } from "node:net";
import { join } from "node:path";

/** Where a gateway listens: on a socket in a folder that sandboxes mount, or on a port of loopback (0: any). */
export type GatewayPlace = { folder: string; socket: string } | { port: number };

/**
 * The folder and the socket may be used by any user: whoever sees the folder is meant to. The socket replaces that of an
 * earlier service at once, and nobody removes it: a successor may have its own at the same path.
 * @returns the port; 0 for a socket. @throws Error if the port is taken, or the socket gets no name; then nothing listens.
 */
export async function listenAt(server: Server, place: GatewayPlace): Promise<number> {
  if ("port" in place) {
    await listening(server, () => server.listen({ host: "127.0.0.1", port: place.port, exclusive: true }));
    const address = server.address();
    return typeof address === "object" && address ? address.port : place.port;
  }
  mkdirSync(place.folder, { recursive: true, mode: 0o711 });
  chmodSync(place.folder, 0o711);
  // By way of a descriptor, because the path of a socket is limited to 107 bytes.
  const descriptor = openSync(place.folder, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const draft = join(`/proc/self/fd/${descriptor}`, `.${crypto.randomUUID()}`);
    await listening(server, () => server.listen(draft));
    try {
      chmodSync(draft, 0o666);
      renameSync(draft, join(place.folder, place.socket));
    } catch (error) {
      // It would listen for ever: nobody has a handle to it.
      server.close();
      rmSync(draft, { force: true });
      throw error;
    }
  } finally {
    closeSync(descriptor);
  }
  return 0;
}

async function listening(server: Server, listen: () => void): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.once("listening", resolve);
  listen();
  await promise;
  server.off("error", reject);
}
