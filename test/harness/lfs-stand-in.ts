/** What git-lfs sends to a host, and the host answers. */
export interface LfsExchange {
  request: { operation: "download" | "upload"; objects: { oid: string; size: number }[] };
  reply: unknown;
}

/**
 * A host's objects of Git LFS: the batch API, for the server of its repositories, and the basic transfer on a server of its
 * own, as GitHub has it. There the header of the reply is all that counts.
 */
export function startLfsStandIn() {
  const objects = new Map<string, Uint8Array>();
  const exchanges: LfsExchange[] = [];
  const stored: { method: string; authorization: string | null; allowed: boolean }[] = [];
  const pass = crypto.randomUUID();
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const { method } = request;
      const allowed = request.headers.get("x-pass") === pass;
      stored.push({ method, authorization: request.headers.get("authorization"), allowed });
      if (!allowed) return new Response("no", { status: 403 });
      const oid = new URL(request.url).pathname.slice(1);
      if (method === "PUT") {
        objects.set(oid, await request.bytes());
        return new Response();
      }
      const found = objects.get(oid);
      return found ? new Response(found) : new Response("no", { status: 404 });
    },
  });
  const standIn = {
    objects,
    exchanges: exchanges as readonly LfsExchange[],
    /** Each request for an object. */
    stored: stored as readonly (typeof stored)[number][],
    port: server.port as number,
    /** Where the replies say that objects are. */
    objectsUrl: `http://objects.localhost:${server.port}`,
    /** Set: what the host answers instead of taking objects, and with which status. */
    refusal: undefined as { status: number; message: string } | undefined,
    /** Keeps an object. @returns its pointer. */
    keep(contents: string): string {
      objects.set(oidOf(contents), Buffer.from(contents));
      return pointerTo(contents);
    },
    /** Answers the batch API. */
    async answer(request: Request): Promise<Response> {
      if (!request.url.endsWith("/info/lfs/objects/batch")) return new Response("{}", { status: 404 });
      const body = (await request.json()) as LfsExchange["request"];
      if (body.operation === "upload" && standIn.refusal) {
        const { status, message } = standIn.refusal;
        return Response.json({ message }, { status });
      }
      const reply = {
        transfer: "basic",
        objects: body.objects.map(({ oid, size }) => {
          const action = { href: `${standIn.objectsUrl}/${oid}`, header: { "x-pass": pass } };
          if (body.operation === "upload")
            return { oid, size, ...(objects.has(oid) ? {} : { actions: { upload: action } }) };
          if (objects.has(oid)) return { oid, size, actions: { download: action } };
          return { oid, size, error: { code: 404, message: "Object does not exist" } };
        }),
      };
      exchanges.push({ request: body, reply });
      return Response.json(reply, { headers: { "content-type": "application/vnd.git-lfs+json" } });
    },
    stop: () => server.stop(true),
  };
  return standIn;
}

/** What stands in a commit for these contents. */
export const pointerTo = (contents: string): string =>
  `version https://git-lfs.github.com/spec/v1\noid sha256:${oidOf(contents)}\nsize ${Buffer.byteLength(contents)}\n`;

/** The name of an object. */
export const oidOf = (contents: string): string =>
  new Bun.CryptoHasher("sha256").update(contents).digest("hex");
