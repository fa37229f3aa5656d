/** Longer lines are left out. Claude Code repeats whole files in its lines: those of 10 MB exist. */
const LINE_BYTES = 16 * 1024 * 1024;
const NEWLINE = 10;

/**
 * The lines of a program that is not trusted, read no faster than they are taken. Instead of one that is too long comes its
 * length in bytes.
 */
export async function* linesOf(
  stream: AsyncIterable<Uint8Array>,
  limit = LINE_BYTES,
): AsyncGenerator<string | number> {
  let parts: Uint8Array[] = [];
  let length = 0;
  const take = (): string | number => {
    const line = length > limit ? length : Buffer.concat(parts).toString("utf8");
    parts = [];
    length = 0;
    return line;
  };
  const add = (part: Uint8Array) => {
    length += part.length;
    if (length > limit) parts = [];
    else if (part.length > 0) parts.push(part);
  };
  for await (const chunk of stream) {
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
      add(chunk.subarray(from, at));
      yield take();
      from = at + 1;
    }
    add(chunk.subarray(from));
  }
  if (length > 0) yield take();
}
