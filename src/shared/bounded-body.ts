/**
 * Reads the body of a reply as text, but no more than `limit` bytes: the server is not trusted with this process's memory.
 * @throws Error when the body is longer; the rest is not read.
 */
export async function textUpTo(reply: Response, limit: number): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of reply.body ?? []) {
    size += part.length;
    // Leaving the loop cancels the stream.
    if (size > limit) throw new Error(`a reply of more than ${limit} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}
