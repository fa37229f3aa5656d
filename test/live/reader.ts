/** One Server-Sent Event, as received. */
export interface ServerEvent {
  event: string;
  id: string | undefined;
  data: string;
}

export interface Reader {
  status: number;
  headers: Headers;
  /** Events and, as `event: ""`, comments, in order. Ends with the stream. */
  events(): AsyncGenerator<ServerEvent>;
  /** The next event of this type; others are skipped. @throws if the stream ends first. */
  next(event: string): Promise<ServerEvent>;
  /** Disconnects. */
  leave(): void;
}

/** Opens a stream the way the documentation says: fetch, with the token in a header. */
export async function openReader(
  url: string,
  options: { headers?: Record<string, string> } = {},
): Promise<Reader> {
  const away = new AbortController();
  const reply = await fetch(url, { headers: options.headers ?? {}, signal: away.signal });
  async function* events(): AsyncGenerator<ServerEvent> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of reply.body ?? []) {
      const blocks = (rest + decoder.decode(chunk, { stream: true })).split("\n\n");
      rest = blocks.pop() ?? "";
      for (const block of blocks) yield parse(block);
    }
  }
  const all = events();
  return {
    status: reply.status,
    headers: reply.headers,
    events: () => all,
    async next(event) {
      for (let one = await all.next(); !one.done; one = await all.next())
        if (one.value.event === event) return one.value;
      throw new Error(`the stream ended before a ${event}`);
    },
    leave: () => away.abort(),
  };
}

export function parse(block: string): ServerEvent {
  const fields = new Map(block.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line]));
  const value = (name: string) => fields.get(name)?.slice(name.length + 2);
  return { event: value("event") ?? "", id: value("id"), data: value("data") ?? block };
}
