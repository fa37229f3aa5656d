/** A secret that is about to be set, or removed. It lives as long as the page: nothing keeps it. */
export interface SecretEdit {
  key: string;
  name: string;
  /** Null: to be removed. */
  value: string | null;
  /** Whether the project has it already. */
  known: boolean;
}

/** What the service is sent. A row that nothing was typed into counts as not there. */
export const secretsIn = (edits: readonly SecretEdit[]): Record<string, string | null> =>
  Object.fromEntries(edits.filter(isFilled).map(({ name, value }) => [name.trim(), value]));

export const isFilled = ({ known, name, value }: SecretEdit): boolean =>
  value === null || value !== "" || (!known && name.trim() !== "");
