import { expect, test } from "bun:test";
import { imageTypeOf } from "../../src/attachments/image-type.ts";
import { gif, jpeg, png, webp, webpExtended, webpLossless } from "./pictures.ts";

test.each([
  ["image/png", png],
  ["image/gif", gif],
  ["image/jpeg", jpeg],
  ["image/webp", webp],
  ["image/webp", webpLossless],
  ["image/webp", webpExtended],
] as const)("%s is known by its content, with its size, wherever it is cut off", (mediaType, make) => {
  const whole = make(700, 4_000);
  // Of a larger buffer, as bodies are.
  const inside = Buffer.concat([Buffer.from("before"), whole, Buffer.from("after")]).subarray(
    6,
    6 + whole.length,
  );
  expect(imageTypeOf(inside)).toEqual({ mediaType, width: 700, height: 4_000 });
  for (let length = 0; length < whole.length; length += 1) {
    const cut = imageTypeOf(whole.subarray(0, length));
    if (cut) expect(cut).toEqual({ mediaType, width: 700, height: 4_000 });
  }
});

test.each([
  ["nothing", ""],
  ["text", "hello"],
  ["a page", "<html>"],
  ["a picture that is a program", '<svg xmlns="http://www.w3.org/2000/svg"/>'],
  ["a JPEG without a frame", "\xff\xd8\xff\xda\0\x04\0\0"],
  ["a JPEG whose segments have no length", "\xff\xd8\xff\xe0\0\0\0\0\0\0"],
  ["a JPEG of segments without end", `\xff\xd8${"\xff\xe0\0\x02".repeat(20_000)}`],
  ["a sound", "RIFF\0\0\0\0WAVEfmt \0\0\0\0\0\0\0\0\0\0"],
])("%s is none", (_name, text) => {
  expect(imageTypeOf(Buffer.from(text, "latin1"))).toBeUndefined();
});
