import type { ReactNode } from "react";

/** A link to another site, if the address is one: others say it, and some schemes would run in this page. */
export function Outside({ href, children }: { href: string; children: ReactNode }) {
  if (!/^https?:\/\//i.test(href)) return <span>{children}</span>;
  return (
    <a href={href} target="_blank" rel="noopener noreferrer">
      {children}
    </a>
  );
}
