/** What answers with a JSON text, where an object need not be made of it. Its schema in the route is `jsonTextOf`. */
export function jsonText(set: { headers: Record<string, string | number> }, text: string): string {
  set.headers["content-type"] = "application/json;charset=utf-8";
  return text;
}
