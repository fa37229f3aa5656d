import { expect, test } from "bun:test";
import { mkdirSync, readdirSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { listenAt } from "../../src/egress/listen.ts";
import { useGateways } from "./fixture.ts";

const open = useGateways();

// It listened on: nobody had a handle to close it.
test.if(process.platform === "linux")(
  "a server whose socket cannot get its name does not go on listening",
  async () => {
    const folder = open.folderOf();
    // A folder in its place: the move fails, after the server has begun to listen.
    mkdirSync(join(folder, "gateway.sock"));
    const server = createServer();
    open.release.push(() => server.close());
    await expect(listenAt(server, { folder, socket: "gateway.sock" })).rejects.toThrow("EISDIR");
    expect(server.listening).toBe(false);
    expect(readdirSync(folder)).toEqual(["gateway.sock"]);
  },
);
