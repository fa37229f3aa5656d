import { type Attack, all } from "./attack.ts";
import { denied } from "./syscalls.ts";

/** Sockets of families that a coding agent never needs: each is code of the kernel that an attack could reach. */
export const SOCKET_ATTACKS: readonly Attack[] = [
  {
    id: "socket-vsock",
    title: "open a socket to the hypervisor (AF_VSOCK)",
    stoppedBy: "seccomp",
    inside: () => all([denied("socket", 40, 1, 0), denied("socket", 40, 2, 0)]),
  },
  {
    id: "socket-packet",
    title: "open raw sockets: AF_PACKET, SOCK_RAW of IPv4 and IPv6",
    stoppedBy: "seccomp, no capabilities",
    inside: () =>
      all([
        denied("socket", 17, 3, 0),
        denied("socket", 17, 2, 0),
        denied("socket", 2, 3, 1),
        denied("socket", 10, 3, 58),
      ]),
  },
  {
    id: "socket-kernel-crypto",
    title: "open a socket to the kernel's cryptography (AF_ALG)",
    stoppedBy: "seccomp",
    inside: () => denied("socket", 38, 5, 0),
  },
  {
    id: "socket-netlink",
    title: "open netlink sockets to parts of the kernel: netfilter, XFRM, audit, uevents",
    stoppedBy: "seccomp",
    inside: () => all([12, 6, 9, 15, 16, 20].map((protocol) => denied("socket", 16, 3, protocol))),
  },
  {
    id: "socket-rare-families",
    title: "open sockets of families with a history of exploits: TIPC, CAN, Bluetooth, RDS, XDP, KEY, SMC …",
    stoppedBy: "seccomp",
    inside: () =>
      all(
        [3, 4, 5, 9, 15, 21, 26, 29, 30, 31, 35, 37, 39, 41, 42, 43, 44].map((family) =>
          denied("socket", family, 2, 0),
        ),
      ),
  },
];
