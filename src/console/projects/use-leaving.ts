import { useBlocker, useNavigate } from "@tanstack/react-router";
import { useEffect, useRef } from "react";
import { say } from "../ui/notify.ts";

/**
 * What happens to unsaved changes when the page is left: the draft stays, and that is said; secrets that were typed would be
 * gone, so that leaving has to be confirmed.
 */
export function useLeaving(options: {
  /** Asked at the moment: a save may have ended since the page was drawn. */
  hasSecrets: () => boolean;
  hasDraft: () => boolean;
  address: string;
}) {
  const { hasSecrets } = options;
  const navigate = useNavigate();
  const latest = useRef({ ...options, navigate });
  latest.current = { ...options, navigate };
  useEffect(
    () => () => {
      const { hasDraft, address, navigate: go } = latest.current;
      if (hasDraft())
        void say("Your changes of the project are kept as a draft", {
          label: "Go back",
          run: () => void go({ href: address }),
        });
    },
    [],
  );
  return useBlocker({
    shouldBlockFn: ({ current, next }) => current.pathname !== next.pathname && hasSecrets(),
    enableBeforeUnload: hasSecrets,
    withResolver: true,
  });
}
