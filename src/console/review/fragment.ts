import { useLocation, useNavigate } from "@tanstack/react-router";
import { type RefObject, useEffect, useMemo, useRef } from "react";
import { type Place, readFragment, toFragment } from "./address.ts";
import type { DiffListHandle } from "./diff-list.tsx";

/** The place that the address names: it is selected, and gone to when the page is opened with it. */
export function useFragment(list: RefObject<DiffListHandle | null>) {
  const navigate = useNavigate({ from: "/s/$id/review" });
  // The router's own is decoded, once too often for a name with a percent sign.
  const hash = useLocation({ select: () => location.hash });
  const place = useMemo(() => readFragment(hash), [hash]);
  const known = useRef("");
  useEffect(() => {
    if (!place || hash === known.current) return;
    known.current = hash;
    list.current?.reveal(place, true);
  }, [hash, place, list]);

  return {
    place,
    select(wanted: Place) {
      const next = toFragment(wanted);
      known.current = `#${next}`;
      void navigate({ search: (now) => now, hash: next, replace: true, resetScroll: false });
    },
    /** The selection, if it has that line. */
    covering({ path, side, lines }: Place): Place {
      const isIn =
        place?.lines &&
        lines &&
        place.path === path &&
        place.side === side &&
        place.lines.from <= lines.from &&
        place.lines.to >= lines.to;
      return isIn ? place : { path, side, lines };
    },
  };
}
