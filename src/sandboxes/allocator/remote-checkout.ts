import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PACKING_SCRIPT } from "../git/packing.ts";
import type { CheckoutRequest } from "../git/request.ts";
import type { Machine } from "../machine.ts";
import { FILES_FOLDER, type GivenFile } from "../put-files.ts";
import type { RemoteSandbox } from "./remote-sandbox.ts";
import { CHECK_OUT, MOVE_FILES, PACK } from "./remote-scripts.ts";

/** Our folder in a borrowed sandbox: scripts, their input, and the checkout. */
export const workFolder = (id: string) => `/tmp/prompt-backend-${id}`;

/**
 * Makes the checkout in a borrowed sandbox, out of a bundle from our copy of the repository.
 * @returns the commit that it starts from, and what the user must be told of it. @throws RepositoryError
 */
export async function checkOutRemotely(
  remote: RemoteSandbox,
  options: { id: string; machine: Machine; request: CheckoutRequest; signal: AbortSignal },
): Promise<{ start: string; notices: readonly string[] }> {
  const { id, machine, request, signal } = options;
  const folder = workFolder(id);
  const bundle = join(machine.folderOf(id), "in.bundle");
  const repository = machine.repositoryFor(request);
  const { start, base, head, shallow, notices } = await repository.bundle(request, bundle, signal);
  await remote.upload(bundle, `${folder}/in.bundle`);
  await rm(bundle);
  const files = {
    branch: request.branch,
    target: request.targetBranch,
    origin: /^[\w.-]+\/[\w.-]+$|^https:/.test(request.repo) ? request.repo : "local",
    head,
    base,
    start,
    shallow,
    "author-name": machine.author.name,
    "author-email": machine.author.email,
    "checkout.sh": CHECK_OUT,
    "packing.sh": PACKING_SCRIPT,
    "pack.sh": PACK,
  };
  for (const [name, text] of Object.entries(files)) await remote.write(`${folder}/${name}`, text);
  await remote.run(`${folder}/checkout.sh`, folder);
  return { start, notices };
}

/**
 * Puts files into a folder beside the checkout of a borrowed sandbox.
 * @returns the folder there. @throws RepositoryError
 */
export async function putFilesRemotely(
  remote: RemoteSandbox,
  { id, machine, files }: { id: string; machine: Machine; files: readonly GivenFile[] },
): Promise<string> {
  const folder = join(workFolder(id), FILES_FOLDER);
  // Names of files are data of users, and never become a part of a command: each is written under a number first.
  await remote.write(`${workFolder(id)}/files.sh`, MOVE_FILES);
  const names = files.map(({ name }) => name);
  await remote.write(`${workFolder(id)}/file-names`, names.map((name) => `${name}\n`).join(""));
  const local = join(machine.folderOf(id), "given-file");
  for (const [n, { bytes }] of files.entries()) {
    await writeFile(local, bytes, { mode: 0o600 });
    await remote.upload(local, `${workFolder(id)}/file-${n + 1}`);
  }
  await rm(local, { force: true });
  await remote.run(`${workFolder(id)}/files.sh`, workFolder(id));
  return folder;
}

/**
 * Commits and packs the work in a borrowed sandbox and downloads it to the file `bundle`.
 * @returns the bundle's size, bytes; 0 if nothing has changed. @throws RepositoryError
 */
export async function packRemotely(
  remote: RemoteSandbox,
  options: { id: string; message: string; bundle: string },
): Promise<number> {
  const folder = workFolder(options.id);
  await remote.write(`${folder}/message`, options.message);
  await remote.run(`${folder}/pack.sh`, folder);
  return remote.download(`${folder}/out.bundle`, options.bundle);
}
