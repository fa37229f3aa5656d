import pgliteWasm from "@electric-sql/pglite/pglite.wasm" with { type: "file" };

let compiled: Promise<WebAssembly.Module> | undefined;

/**
 * The program of the embedded PostgreSQL. Another thread compiles it, which takes as long as loading the service's modules:
 * a start asks for it first.
 */
export function compileProgram(): Promise<WebAssembly.Module> {
  compiled ??= compile(pgliteWasm);
  return compiled;
}

export async function compile(path: string): Promise<WebAssembly.Module> {
  return WebAssembly.compile(await Bun.file(path).arrayBuffer());
}
