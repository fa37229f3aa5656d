import type { Queryable } from "./client.ts";

/**
 * A statement that is built once for each database or transaction, and shape, because building its text can cost more than running it.
 * @param build gets placeholders for what differs between two calls of one shape.
 */
export function builtOnce<Statement>(
  build: (orm: Queryable, shape: string) => Statement,
): (orm: Queryable, shape?: string) => Statement {
  const built = new WeakMap<Queryable, Map<string, Statement>>();
  return (orm, shape = "") => {
    const shapes = built.get(orm) ?? new Map<string, Statement>();
    built.set(orm, shapes);
    const statement = shapes.get(shape) ?? build(orm, shape);
    shapes.set(shape, statement);
    return statement;
  };
}
