import { Elysia, NotFoundError } from "elysia";
import { pathOf } from "../shared/request-url.ts";

type Routes = readonly { method: string; path: string }[];

/**
 * What the routes of `app` offer, as they are when the first request arrives.
 *
 * A path of its own wins over one with parameters, also for the methods that it does not offer: Elysia looks for a method
 * first and for a path then, and would take `GET /sessions/with-prompt` for the session of that id.
 */
export function createMethods(app: { routes: Routes }) {
  let literals: ReadonlyMap<string, readonly string[]> | undefined;
  const literalMethods = (path: string) => {
    literals ??= methodsByLiteral(app.routes);
    return literals.get(withoutSlash(path));
  };
  return {
    /** The methods of a path, in alphabetical order; none if the path is unknown. */
    methodsOf: (path: string): readonly string[] => literalMethods(path) ?? patternMethods(app.routes, path),
    /** Refuses what would reach another route than that of its path; the error handler makes it a 405. */
    ownMethodsOnly: () =>
      new Elysia({ name: "methods" }).onRequest(({ request }) => {
        const methods = literalMethods(pathOf(request.url));
        if (methods && !methods.includes(request.method)) throw new NotFoundError();
      }),
  };
}

function methodsByLiteral(routes: Routes): Map<string, readonly string[]> {
  const literals = Map.groupBy(
    routes.filter(({ path }) => !path.includes(":")),
    ({ path }) => withoutSlash(path),
  );
  return new Map([...literals].map(([path, own]) => [path, allMethods(own)]));
}

function patternMethods(routes: Routes, path: string): readonly string[] {
  const parts = withoutSlash(path).split("/");
  const matches = (pattern: string) => {
    const expected = pattern.split("/");
    return (
      expected.length === parts.length &&
      expected.every((part, index) => part.startsWith(":") || part === parts[index])
    );
  };
  return allMethods(routes.filter((route) => matches(route.path)));
}

/** Elysia answers HEAD where there is GET. */
function allMethods(routes: Routes): readonly string[] {
  const methods = routes.flatMap(({ method }) => (method === "GET" ? ["GET", "HEAD"] : [method]));
  return [...new Set(methods)].sort();
}

/** Elysia serves each path with and without a slash at its end. */
const withoutSlash = (path: string) => path.replace(/\/$/, "");
