import { useEffect, useState } from "react";

/** Shorter waits show nothing, which is calmer than a flash. */
const DELAY_MS = 300;

/** Says what is being loaded, once that takes noticeably long. */
export function Loading({ what }: { what: string }) {
  const [shown, setShown] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setShown(true), DELAY_MS);
    return () => clearTimeout(timer);
  }, []);
  return (
    <p className="loading" role="status">
      {shown ? `Loading ${what} …` : ""}
    </p>
  );
}
