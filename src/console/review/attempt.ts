import { useEffect, useRef, useState } from "react";
import { complain } from "../ui/notify.ts";

/**
 * What a dialog's button starts. A dialog can be closed while that goes on: what fails then is said beside the page.
 * @param failure what the user wanted, such as `It was not merged`
 */
export function useAttempt(failure: string) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const isOpen = useRef(true);
  useEffect(() => {
    isOpen.current = true;
    return () => {
      isOpen.current = false;
    };
  }, []);
  /** @param work is told at its end whether the dialog is still open: another one may be by then. */
  const attempt = async (work: (isOpen: () => boolean) => Promise<void>) => {
    setBusy(true);
    setError(undefined);
    try {
      await work(() => isOpen.current);
    } catch (reason) {
      if (!isOpen.current) return complain(failure, reason);
      setError(reason);
    }
    setBusy(false);
  };
  return { busy, error, attempt };
}
