/** A picture, as its first bytes say. */
export interface ImageType {
  mediaType: "image/png" | "image/jpeg" | "image/gif" | "image/webp";
  /** Pixels; 0 where it does not say. */
  width: number;
  height: number;
}

/** How many segments of a JPEG are looked through for its size. */
const MAX_SEGMENTS = 1_000;

/** The kind and the size of a picture by its content. Undefined: it is none of these, or broken in its first part. */
export function imageTypeOf(bytes: Uint8Array): ImageType | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = (from: number, to: number) => Buffer.from(bytes.subarray(from, to)).toString("latin1");
  try {
    if (text(0, 8) === "\x89PNG\r\n\x1a\n" && text(12, 16) === "IHDR")
      return { mediaType: "image/png", width: view.getUint32(16), height: view.getUint32(20) };
    if (/^GIF8[79]a$/.test(text(0, 6)))
      return { mediaType: "image/gif", width: view.getUint16(6, true), height: view.getUint16(8, true) };
    if (text(0, 3) === "\xff\xd8\xff") return jpeg(view);
    if (text(0, 4) === "RIFF" && text(8, 12) === "WEBP") return webp(view, text(12, 16));
  } catch (error) {
    // It ends before what it should say.
    if (!(error instanceof RangeError)) throw error;
  }
  return undefined;
}

/** Its size is in the segment that begins a frame, behind any number of others. @throws RangeError */
function jpeg(view: DataView): ImageType | undefined {
  for (let at = 2, count = 0; count < MAX_SEGMENTS; count += 1) {
    if (view.getUint8(at) !== 0xff) return undefined;
    const marker = view.getUint8(at + 1);
    // Filling.
    if (marker === 0xff) {
      at += 1;
      continue;
    }
    // SOF0 to SOF15, less the tables DHT, JPG and DAC.
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker))
      return { mediaType: "image/jpeg", width: view.getUint16(at + 7), height: view.getUint16(at + 5) };
    // The picture itself, or its end: there was no frame.
    if (marker === 0xda || marker === 0xd9) return undefined;
    const length = view.getUint16(at + 2);
    if (length < 2) return undefined;
    at += 2 + length;
  }
  return undefined;
}

/** @throws RangeError */
function webp(view: DataView, chunk: string): ImageType | undefined {
  const mediaType = "image/webp";
  const uint24 = (at: number) => view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
  if (chunk === "VP8X") return { mediaType, width: uint24(24) + 1, height: uint24(27) + 1 };
  if (chunk === "VP8 ") {
    if (view.getUint16(23) !== 0x9d01 || view.getUint8(25) !== 0x2a) return undefined;
    return {
      mediaType,
      width: view.getUint16(26, true) & 0x3fff,
      height: view.getUint16(28, true) & 0x3fff,
    };
  }
  if (chunk !== "VP8L" || view.getUint8(20) !== 0x2f) return undefined;
  const bits = view.getUint32(21, true);
  return { mediaType, width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1 };
}
