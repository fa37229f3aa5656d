/** @returns the file that the build embedded under this name, to which Bun adds a hash; undefined where there is none. */
export async function readEmbedded(name: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const files = Bun.embeddedFiles as readonly (Blob & { name: string })[];
  return files.find((file) => file.name.startsWith(`${name}-`))?.bytes();
}
