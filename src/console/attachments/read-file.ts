import { problemOfSides } from "./limits.ts";

/** A file, as a prompt carries it. */
export interface FileContent {
  /** Base64. */
  data: string;
  /** Of a picture that this browser can show. */
  image: { mediaType: string; url: string } | undefined;
  /** Why it cannot be sent, and what to do. */
  problem: string | undefined;
}

/** The pictures that agents see, by their first bytes; the service looks at the content, too. */
const IMAGES = [
  [/^.PNG\r\n/s, "image/png"],
  [/^\xff\xd8\xff/, "image/jpeg"],
  [/^GIF8[79]a/, "image/gif"],
  [/^RIFF.{4}WEBP/s, "image/webp"],
] as const;
/** Characters of base64 that have them. */
const START = 16;

/**
 * Reads a file while the page goes on. What is called a picture and is none, or is broken, goes as a file.
 * Whoever gets an `image` revokes its URL.
 */
export async function readFile(file: File): Promise<FileContent> {
  const data = await base64Of(file);
  const start = atob(data.slice(0, START));
  const [, mediaType] = IMAGES.find(([bytes]) => bytes.test(start)) ?? [];
  if (mediaType === undefined) return { data, image: undefined, problem: undefined };
  const url = URL.createObjectURL(new Blob([file], { type: mediaType }));
  const picture = new Image();
  picture.src = url;
  try {
    await picture.decode();
  } catch {
    URL.revokeObjectURL(url);
    return { data, image: undefined, problem: undefined };
  }
  const problem = problemOfSides(picture.naturalWidth, picture.naturalHeight);
  return { data, image: { mediaType, url }, problem };
}

/** @throws DOMException for a folder, and for what is gone or may not be read. */
function base64Of(file: File): Promise<string> {
  const reader = new FileReader();
  return new Promise((resolve, reject) => {
    reader.onload = () => resolve(String(reader.result).replace(/^[^,]*,/, ""));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}
