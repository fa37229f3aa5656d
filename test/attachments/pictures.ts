import { crc32, deflateSync } from "node:zlib";

/** The smallest beginnings of pictures of a size, as far as their kind and size are read. */
export const png = (width = 2, height = 3) => {
  const bytes = Buffer.alloc(33);
  bytes.write("\x89PNG\r\n\x1a\n", 0, "latin1");
  bytes.writeUInt32BE(13, 8);
  bytes.write("IHDR", 12, "latin1");
  bytes.writeUInt32BE(width, 16);
  bytes.writeUInt32BE(height, 20);
  return bytes;
};
export const gif = (width = 2, height = 3) => {
  const bytes = Buffer.from("GIF89a\0\0\0\0\0\0\0", "latin1");
  bytes.writeUInt16LE(width, 6);
  bytes.writeUInt16LE(height, 8);
  return bytes;
};
/** With a segment, filling, and tables before its frame. */
export const jpeg = (width = 2, height = 3) => {
  const frame = Buffer.from("ffc20011080000000003011100021101031101", "hex");
  frame.writeUInt16BE(height, 5);
  frame.writeUInt16BE(width, 7);
  return Buffer.concat([Buffer.from("ffd8ffe000044a46ffffffc40003ff", "hex"), frame]);
};
const riff = (chunk: string, data: Buffer) => {
  const head = Buffer.from(`RIFF\0\0\0\0WEBP${chunk}\0\0\0\0`, "latin1");
  return Buffer.concat([head, data]);
};
export const webp = (width = 2, height = 3) => {
  const data = Buffer.from("0000009d012a00000000", "hex");
  data.writeUInt16LE(width, 6);
  data.writeUInt16LE(height, 8);
  return riff("VP8 ", data);
};
export const webpLossless = (width = 2, height = 3) => {
  const data = Buffer.from("2f00000000", "hex");
  data.writeUInt32LE((width - 1) | ((height - 1) << 14), 1);
  return riff("VP8L", data);
};
export const webpExtended = (width = 2, height = 3) => {
  const data = Buffer.alloc(10);
  data.writeUIntLE(width - 1, 4, 3);
  data.writeUIntLE(height - 1, 7, 3);
  return riff("VP8X", data);
};
/** A black one that can be shown. */
export const wholePng = (width: number, height: number) => {
  const chunk = (type: string, data: Uint8Array) => {
    const named = Buffer.concat([Buffer.from(type, "latin1"), data]);
    const ends = Buffer.alloc(8);
    ends.writeUInt32BE(data.length, 0);
    ends.writeUInt32BE(crc32(named), 4);
    return Buffer.concat([ends.subarray(0, 4), named, ends.subarray(4)]);
  };
  // Grey, 8 bits; each row has its filter before it.
  const head = Buffer.concat([png(width, height).subarray(16, 24), Buffer.from([8, 0, 0, 0, 0])]);
  const rows = deflateSync(Buffer.alloc((width + 1) * height));
  const none = new Uint8Array();
  return Buffer.concat([png().subarray(0, 8), chunk("IHDR", head), chunk("IDAT", rows), chunk("IEND", none)]);
};
