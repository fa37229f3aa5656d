import { memo, type ReactElement, type ReactNode } from "react";
import Markdown, { type Components } from "react-markdown";
import remarkGfm from "remark-gfm";
import { Code } from "../highlight/code.tsx";
import { languageNamed } from "../highlight/languages.ts";

/** Longer text is shown as it is: its structure would take the page too long. */
const MAX_CHARS = 40_000;
/** Most texts whose structure is remembered: what is scrolled out of sight and back is not parsed again. */
const REMEMBERED = 600;
const remembered = new Map<string, ReactElement>();

/** A text of an agent. It is hostile: no HTML, no image from elsewhere, no link but of the web and of mail. */
export const Prose = memo(function Prose({ text }: { text: string }) {
  if (text.length > MAX_CHARS) return <pre className="prose-plain">{text}</pre>;
  return <div className="prose">{parsed(text)}</div>;
});

function parsed(text: string): ReactElement {
  const known = remembered.get(text);
  if (known) return known;
  const element = Markdown({
    children: text,
    remarkPlugins: [remarkGfm],
    components: COMPONENTS,
    urlTransform: safeUrl,
  });
  remembered.set(text, element);
  for (const oldest of remembered.keys()) {
    if (remembered.size <= REMEMBERED) break;
    remembered.delete(oldest);
  }
  return element;
}

const LINK = /^(?:https?|mailto):/i;
const IMAGE = /^data:image\/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+$/;

/** "": leads nowhere. Every address of a text comes through here. */
const safeUrl = (url: string, attribute: string): string =>
  LINK.test(url) || (attribute === "src" && IMAGE.test(url)) ? url : "";

const COMPONENTS: Components = {
  a: ({ href, children }) => <Away href={href}>{children}</Away>,
  img: ({ src, alt }) =>
    typeof src === "string" && src.startsWith("data:") ? (
      <img className="image" src={src} alt={alt ?? ""} />
    ) : (
      <Away href={typeof src === "string" ? src : undefined}>{alt || "image"}</Away>
    ),
  pre: ({ children }) => children,
  code: ({ className, children }) => {
    const text = typeof children === "string" ? children : "";
    // Inline code has neither a language nor a line's end.
    if (!className && !text.endsWith("\n")) return <code>{children}</code>;
    const language = languageNamed(/language-(\S+)/.exec(className ?? "")?.[1] ?? "");
    return (
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a long line is scrolled by the keyboard, too.
      <pre tabIndex={0}>
        <Code text={text.replace(/\n$/, "")} language={language} />
      </pre>
    );
  },
  table: ({ children }) => (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: as above.
    <section className="prose-table" tabIndex={0} aria-label="Table">
      <table>{children}</table>
    </section>
  ),
  input: ({ checked }) => <span aria-hidden="true">{checked ? "☑" : "☐"} </span>,
};

/** A link to elsewhere. */
function Away({ href, children }: { href: string | undefined; children: ReactNode }) {
  if (!href) return <span>{children}</span>;
  return (
    <a href={href} target="_blank" rel="noopener noreferrer nofollow">
      {children}
    </a>
  );
}
