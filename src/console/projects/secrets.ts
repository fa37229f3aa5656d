/** A secret that is about to be set, or removed. It lives as long as the page: nothing keeps it. */
export interface SecretEdit {
  key: string;
  name: string;
  /** Null: to be removed. */
  value: string | null;
  /** Whether the project has it already. */
  known: boolean;
}

/** Typed while their project was being made, by its id: for its page, which takes them at once. In memory alone. */
const handed = new Map<string, readonly SecretEdit[]>();
export const handOver = (id: string, edits: readonly SecretEdit[]): void => void handed.set(id, edits);
export const handedTo = (id: string | undefined): readonly SecretEdit[] => handed.get(id ?? "") ?? [];
export const forgetHanded = (id: string | undefined): void => void handed.delete(id ?? "");

/** What the service is sent. A row that nothing was typed into counts as not there. */
export const secretsIn = (edits: readonly SecretEdit[]): Record<string, string | null> =>
  Object.fromEntries(edits.filter(isFilled).map(({ name, value }) => [name.trim(), value]));

export const isFilled = ({ known, name, value }: SecretEdit): boolean =>
  value === null || value !== "" || (!known && name.trim() !== "");
