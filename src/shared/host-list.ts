/**
 * Whether a list of hosts has the host of a URL. One place: what the configuration accepts, what doctor says, and what git
 * may reach must be the same.
 * @param list `host` or `host:port`, in lower case.
 */
export function listsHostOf(list: readonly string[], url: string): boolean {
  const { hostname, port: given, protocol } = new URL(url);
  const port = given || (protocol === "https:" ? "443" : "80");
  return list.some((one) => one === hostname || one === `${hostname}:${port}`);
}
