import type { ReactNode } from "react";

/** Preformatted text. A tall one is scrolled, by the keyboard too. */
export function Scrollable(options: { label: string; tall: boolean; children: ReactNode }) {
  const { label, tall, children } = options;
  if (!tall) return <pre className="scrollable">{children}</pre>;
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset is for forms.
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what cannot have the focus cannot be scrolled by keys.
    <div role="group" aria-label={label} className="scrollable" data-tall tabIndex={0}>
      <pre>{children}</pre>
    </div>
  );
}
