import { readFileSync, statSync } from "node:fs";

/**
 * Calls `set` with the name servers of resolv.conf once they are others than at the first call: c-ares reads that file once,
 * and a machine may change its network. Search domains stay those of the start.
 * @returns to be called before a lookup; costs one stat while nothing changes.
 */
export function followNameServers(options: {
  file: string;
  /** @throws Error for what is no address; then the servers stay. */
  set: (servers: readonly string[]) => void;
}): () => void {
  const { file, set } = options;
  let seen: string | undefined;
  return () => {
    const found = statSync(file, { throwIfNoEntry: false });
    const version = found ? `${found.ino} ${found.size} ${found.mtimeMs}` : "none";
    if (version === seen) return;
    const isFirst = seen === undefined;
    seen = version;
    if (isFirst || !found) return;
    const servers = serversIn(readFileSync(file, "utf8"));
    if (servers.length > 0) set(servers);
  };
}

const serversIn = (text: string) =>
  text.split("\n").flatMap((line) => {
    const [key, server] = line.trim().split(/\s+/);
    return key === "nameserver" && server !== undefined ? [server] : [];
  });
