import { keep, kept } from "../ui/storage.ts";

/** `system`: as the user's system is set. */
export type Theme = "system" | "light" | "dark";

const KEY = "prompt-backend:theme";

export function readTheme(): Theme {
  const stored = kept(KEY);
  return stored === "light" || stored === "dark" ? stored : "system";
}

export function applyTheme(theme: Theme): void {
  keep(KEY, theme === "system" ? undefined : theme);
  if (theme === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme;
}
