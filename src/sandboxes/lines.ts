/** A longer line is cut here (16 Mi characters) and marked; agents print whole files in one line. */
export const LINE_LIMIT = 16 * 1024 * 1024;
export const CUT_MARK = "…[line cut]";

/** Splits a byte stream into decoded lines, without their newlines; the last one may lack its newline. */
export async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let parts: string[] = [];
  let length = 0;
  const add = (text: string) => {
    if (length < LINE_LIMIT && text !== "") parts.push(text.slice(0, LINE_LIMIT - length));
    length += text.length;
  };
  const take = () => {
    const text = parts.join("");
    const line = length > LINE_LIMIT ? text.toWellFormed() + CUT_MARK : text;
    parts = [];
    length = 0;
    return line;
  };
  for await (const chunk of stream) {
    const pieces = decoder.decode(chunk, { stream: true }).split("\n");
    for (const [index, piece] of pieces.entries()) {
      if (index > 0) yield take();
      add(piece);
    }
  }
  add(decoder.decode());
  if (length > 0) yield take();
}

/** The last `limit` characters of a stream. */
export async function tailOf(stream: ReadableStream<Uint8Array>, limit = 8_192): Promise<string> {
  const decoder = new TextDecoder();
  let tail = "";
  for await (const chunk of stream) tail = (tail + decoder.decode(chunk, { stream: true })).slice(-limit);
  return tail;
}
