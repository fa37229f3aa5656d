import { useId, useRef } from "react";
import { Icon } from "../shell/icons.tsx";
import { Button } from "../ui/button.tsx";
import { formatBytes } from "../ui/bytes.ts";
import type { AttachedFile } from "./attached-files.ts";
import { LIMITS } from "./limits.ts";
import type { Attachments } from "./use-attachments.ts";

/** Opens the browser's choice of files. */
export function AttachButton({ attachments }: { attachments: Attachments }) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <Button look="quiet" title={`Also by paste or drop. ${LIMITS}`} onClick={() => input.current?.click()}>
        <Icon name="attach" />
        Attach files
      </Button>
      <input
        ref={input}
        type="file"
        multiple
        hidden
        onChange={({ currentTarget }) => {
          attachments.add(currentTarget.files ?? []);
          // The same file can be chosen again.
          currentTarget.value = "";
        }}
      />
    </>
  );
}

/** What is attached, and where files are dropped. Screen readers are told what comes and goes. */
export function AttachedList({ attachments, note }: { attachments: Attachments; note?: string | undefined }) {
  const { files, problem, news, dropping, remove } = attachments;
  return (
    <>
      {dropping && <p className="drop-here">Drop the files here to attach them</p>}
      <p role="status" className="visually-hidden">
        {news.text}
      </p>
      {files.length > 0 && (
        <div className="attached">
          <ul aria-label="Attached files">
            {files.map((file) => (
              <Item key={file.id} file={file} onRemove={() => remove(file.id)} />
            ))}
          </ul>
          <p className="attached-note muted">
            Attached files are not kept when this page is left or loaded again.{note && ` ${note}`}
          </p>
        </div>
      )}
      {problem !== undefined && <p className="attached-problem">{problem}</p>}
    </>
  );
}

function Item({ file, onRemove }: { file: AttachedFile; onRemove: () => void }) {
  const { name, size, url, reading, problem } = file;
  const id = useId();
  return (
    <li data-problem={problem !== undefined || undefined} aria-busy={reading || undefined}>
      <span className="attached-look">
        {url === undefined ? <Icon name="file" /> : <img src={url} alt="" />}
      </span>
      <span className="attached-name" title={name}>
        {name}
      </span>
      <span className="muted">{reading ? "is being read" : formatBytes(size)}</span>
      <Button look="quiet" aria-describedby={problem === undefined ? undefined : id} onClick={onRemove}>
        Remove<span className="visually-hidden"> {name}</span>
      </Button>
      {problem !== undefined && (
        <p className="attached-problem" id={id}>
          {problem}
        </p>
      )}
    </li>
  );
}
