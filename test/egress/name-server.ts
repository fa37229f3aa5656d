import ipaddr from "ipaddr.js";

const A = 1;
const AAAA = 28;
const NO_SUCH_NAME = 3;

/** A stand-in for a name server, on loopback. It keeps every question to itself until it is told an answer. */
export async function openNameServer() {
  const asked = new Set<string>();
  const waiting: (() => void)[] = [];
  let addresses: readonly string[] | undefined;
  const socket = await Bun.udpSocket({
    hostname: "127.0.0.1",
    socket: {
      data(from, query, port, address) {
        asked.add(nameIn(query));
        const reply = () => from.send(replyTo(query, addresses ?? []), port, address);
        if (addresses) reply();
        else waiting.push(reply);
      },
    },
  });
  return {
    address: `127.0.0.1:${socket.port}`,
    /** Names that were asked for. */
    asked,
    /** Answers what waits, and all that comes. None: there is no such name. */
    answer(found: readonly string[]) {
      addresses = found;
      for (const reply of waiting.splice(0)) reply();
    },
    close: () => socket.close(),
  };
}

function nameIn(query: Buffer): string {
  const labels: string[] = [];
  for (let at = 12; query[at]; at += 1 + (query[at] ?? 0))
    labels.push(query.toString("latin1", at + 1, at + 1 + (query[at] ?? 0)));
  return labels.join(".").toLowerCase();
}

/** RFC 1035, 4.1. */
function replyTo(query: Buffer, addresses: readonly string[]): Buffer {
  const end = query.indexOf(0, 12) + 5;
  const type = query.readUInt16BE(end - 4);
  const records = addresses
    .map((address) => ipaddr.parse(address))
    .filter((parsed) => type === (parsed.kind() === "ipv4" ? A : AAAA))
    .map((parsed) => {
      const data = parsed.toByteArray();
      return Uint8Array.of(0xc0, 12, 0, type, 0, 1, 0, 0, 0, 0, 0, data.length, ...data);
    });
  const header = Buffer.from(query.subarray(0, 12));
  header.writeUInt16BE(0x8180 | (addresses.length === 0 ? NO_SUCH_NAME : 0), 2);
  header.writeUInt16BE(records.length, 6);
  header.writeUInt32BE(0, 8);
  return Buffer.concat([header, query.subarray(12, end), ...records]);
}
