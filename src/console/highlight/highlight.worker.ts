import { common, createLowlight } from "lowlight";
import type { HighlightReply, HighlightRequest, Token, TokenKind } from "./tokens.ts";

/** Finds the tokens of code, beside the page: a large file would stop its scrolling. */
const lowlight = createLowlight(common);

/** The part of a syntax tree that is read here. */
interface Node {
  type: string;
  value?: string;
  properties?: { className?: unknown };
  children?: Node[];
}

/** The classes of highlight.js that are no kinds of their own. */
const KINDS: Readonly<Record<string, TokenKind>> = {
  keyword: "keyword",
  literal: "keyword",
  "selector-tag": "keyword",
  name: "keyword",
  section: "title",
  title: "title",
  "title.class": "type",
  string: "string",
  regexp: "string",
  link: "string",
  quote: "comment",
  comment: "comment",
  number: "number",
  symbol: "number",
  bullet: "number",
  type: "type",
  built_in: "type",
  "selector-class": "type",
  "selector-id": "type",
  attr: "attr",
  attribute: "attr",
  property: "attr",
  variable: "attr",
  "template-variable": "attr",
  params: "attr",
  meta: "meta",
  doctag: "meta",
  tag: "meta",
  addition: "addition",
  deletion: "deletion",
};

self.onmessage = ({ data }: MessageEvent<HighlightRequest>) => {
  const { id, text, language } = data;
  const lines: Token[][] = [[]];
  collect(
    lowlight.registered(language) ? lowlight.highlight(language, text) : { type: "text", value: text },
    undefined,
    lines,
  );
  self.postMessage({ id, lines } satisfies HighlightReply);
};

/** Appends the text of a node to `lines`, each piece with the innermost kind that it has. */
function collect(node: Node, kind: TokenKind | undefined, lines: Token[][]): void {
  if (node.value !== undefined)
    for (const [index, text] of node.value.split("\n").entries()) {
      if (index > 0) lines.push([]);
      if (text !== "") lines.at(-1)?.push(kind ? [text, kind] : [text]);
    }
  const own = kindOf(node.properties?.className) ?? kind;
  for (const child of node.children ?? []) collect(child, own, lines);
}

/** highlight.js writes `title.class` as two classes, `hljs-title` and `class_`. */
function kindOf(className: unknown): TokenKind | undefined {
  if (!Array.isArray(className)) return undefined;
  const [name, ...more] = className.map((one) => String(one).replace(/^hljs-|_$/g, ""));
  return KINDS[[name, ...more].join(".")] ?? KINDS[name ?? ""];
}
