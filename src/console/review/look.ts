import { useSyncExternalStore } from "react";
import { useStored } from "../ui/stored.ts";
import type { DiffLook } from "./pieces.ts";

/** Two columns of code do not fit. */
const NARROW = matchMedia("(max-width: 56rem)");
const subscribe = (changed: () => void) => {
  NARROW.addEventListener("change", changed);
  return () => NARROW.removeEventListener("change", changed);
};

/** Side by side or unified, as the user wants it and the screen allows. */
export function useLook(): { look: DiffLook; toggleLook: () => void } {
  const [wanted, change] = useStored<DiffLook>("prompt-backend:diff-look", "split");
  const narrow = useSyncExternalStore(subscribe, () => NARROW.matches);
  return {
    look: narrow ? "unified" : wanted,
    toggleLook: () => change((now) => (now === "split" ? "unified" : "split")),
  };
}
