import { type ClipboardEvent, type DragEvent, useEffect, useState, useSyncExternalStore } from "react";
import { AttachedFiles } from "./attached-files.ts";

const hasFiles = (data: DataTransfer | null): data is DataTransfer => data?.types.includes("Files") === true;

/**
 * The files that go with what a form sends: by a button, by paste, by drop. They are gone with the component.
 * @returns `target`: attributes of the form that takes them.
 */
export function useAttachments() {
  const [attached] = useState(() => new AttachedFiles());
  const shown = useSyncExternalStore(attached.subscribe, attached.getSnapshot);
  const [dropping, setDropping] = useState(false);
  useEffect(() => attached.dispose, [attached]);
  useEffect(() => {
    // Beside the form a browser would open the file in place of the page, and what is attached would be lost.
    const refuse = (event: globalThis.DragEvent) => {
      if (event.defaultPrevented || !hasFiles(event.dataTransfer)) return;
      event.preventDefault();
      event.dataTransfer.dropEffect = "none";
    };
    document.addEventListener("dragover", refuse);
    return () => document.removeEventListener("dragover", refuse);
  }, []);

  const over = (event: DragEvent) => {
    if (!hasFiles(event.dataTransfer)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    setDropping(true);
  };
  const target = {
    onDragEnter: over,
    onDragOver: over,
    onDragLeave: (event: DragEvent<HTMLElement>) => {
      // From one part of the form to another it is still over the form.
      if (!(event.relatedTarget instanceof Node && event.currentTarget.contains(event.relatedTarget)))
        setDropping(false);
    },
    onDrop: (event: DragEvent) => {
      setDropping(false);
      if (!hasFiles(event.dataTransfer)) return;
      event.preventDefault();
      attached.add(event.dataTransfer.files);
    },
    onPaste: (event: ClipboardEvent) => {
      if (!isPasteOfFiles(event.clipboardData)) return;
      event.preventDefault();
      attached.add(event.clipboardData.files);
    },
  };
  return { ...shown, dropping, target, add: attached.add, remove: attached.remove, send: attached.send };
}

export type Attachments = ReturnType<typeof useAttachments>;

/** Office programs put a picture beside the text that they copy: text stays text, unless it only names the files. */
function isPasteOfFiles(data: DataTransfer): boolean {
  const names = new Set(Array.from(data.files, ({ name }) => name));
  const lines = data.getData("text/plain").split(/\r?\n/);
  return (
    names.size > 0 && lines.every((line) => line.trim() === "" || names.has(line.replace(/^.*[/\\]/, "")))
  );
}
