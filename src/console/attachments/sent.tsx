import { Icon } from "../shell/icons.tsx";
import { formatBytes } from "../ui/bytes.ts";
import { visible } from "../ui/visible-text.ts";
import { type SentAttachment, sentAttachments } from "./sent-attachments.ts";

/** What came with a prompt. */
export function Sent({ data }: { data: unknown }) {
  const sent = sentAttachments(data);
  if (sent.length === 0) return null;
  return (
    <ul className="sent" aria-label="Attachments">
      {sent.map((one) => (
        <li key={one.id}>
          <Attachment {...one} />
        </li>
      ))}
    </ul>
  );
}

function Attachment({ id, image, name, bytes }: SentAttachment) {
  const address = `/attachments/${id}`;
  // The service says that a browser has to save what is no picture.
  return (
    <a href={address} {...(image && { target: "_blank", rel: "noreferrer" })}>
      <span className="attached-look">
        {image ? <img src={address} alt="" loading="lazy" /> : <Icon name="file" />}
      </span>
      <span className="attached-name" title={visible(name)}>
        {visible(name)}
      </span>
      {bytes !== undefined && <span className="muted">{formatBytes(bytes)}</span>}
    </a>
  );
}
