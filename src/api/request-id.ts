const ids = new WeakMap<Request, string>();
const ACCEPTED = /^[\w.:@-]{1,128}$/;

/** The client's X-Request-Id if it is well-formed, else a generated one; stable for the lifetime of the request. */
export function requestIdOf(request: Request): string {
  let id = ids.get(request);
  if (id === undefined) {
    const given = request.headers.get("x-request-id");
    id = given !== null && ACCEPTED.test(given) ? given : crypto.randomUUID();
    ids.set(request, id);
  }
  return id;
}
