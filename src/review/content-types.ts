/** Pictures that browsers show, by the ends of their names. */
const IMAGES: Readonly<Record<string, string>> = {
  png: "image/png",
  jpg: "image/jpeg",
  jpeg: "image/jpeg",
  gif: "image/gif",
  webp: "image/webp",
  avif: "image/avif",
  bmp: "image/bmp",
  ico: "image/x-icon",
  svg: "image/svg+xml",
};
/** As git judges whether a file is text. */
const JUDGED_BYTES = 8_000;

/**
 * The headers of a file of a repository, which may be anything: no browser runs what is in it, neither as a page nor as a
 * picture with scripts, nor takes it for something else than it is said to be.
 * @param name for its end.
 */
export function contentHeaders(name: string, bytes: Uint8Array): Record<string, string> {
  const end = /\.([a-z]+)"?$/i.exec(name)?.[1]?.toLowerCase() ?? "";
  const image = IMAGES[end];
  const isText = !bytes.subarray(0, JUDGED_BYTES).includes(0);
  return {
    "content-type": image ?? (isText ? "text/plain; charset=utf-8" : "application/octet-stream"),
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "x-content-type-options": "nosniff",
    ...(image === undefined && !isText && { "content-disposition": "attachment" }),
  };
}
