/** What answers with a JSON text, where no object need be made of it. Its schema in the route is `jsonTextOf`. */
export function jsonText(set: { headers: Record<string, string | number> }, text: string): string {
  set.headers["content-type"] = "application/json;charset=utf-8";
  set.headers["content-length"] = Buffer.byteLength(text);
  return text;
}
