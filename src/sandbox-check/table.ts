import type { Attack } from "./attack.ts";
import { DISK_ATTACKS } from "./disk-attacks.ts";
import { FILE_ATTACKS } from "./file-attacks.ts";
import { GATEWAY_ATTACKS } from "./gateway-attacks.ts";
import { GIT_ATTACKS } from "./git-attacks.ts";
import { GIT_PROGRAM_ATTACKS } from "./git-program-attacks.ts";
import { KERNEL_ATTACKS } from "./kernel-attacks.ts";
import { LIMIT_ATTACKS } from "./limit-attacks.ts";
import { MEMORY_ATTACKS } from "./memory-attacks.ts";
import { MODEL_ATTACKS } from "./model-attacks.ts";
import { NAMESPACE_ATTACKS } from "./namespace-attacks.ts";
import { NETWORK_ATTACKS } from "./network-attacks.ts";
import { OUTPUT_ATTACKS } from "./output-attacks.ts";
import { PATH_ATTACKS } from "./path-attacks.ts";
import { PRIVILEGE_ATTACKS } from "./privilege-attacks.ts";
import { PROCESS_ATTACKS } from "./process-attacks.ts";
import { SOCKET_ATTACKS } from "./socket-attacks.ts";
import { STATE_ATTACKS } from "./state-attacks.ts";

/** Everything that is tried, in the order in which it is printed. */
export const ATTACKS: readonly Attack[] = [
  ...FILE_ATTACKS,
  ...PATH_ATTACKS,
  ...STATE_ATTACKS,
  ...MEMORY_ATTACKS,
  ...PROCESS_ATTACKS,
  ...PRIVILEGE_ATTACKS,
  ...NAMESPACE_ATTACKS,
  ...KERNEL_ATTACKS,
  ...NETWORK_ATTACKS,
  ...SOCKET_ATTACKS,
  ...GATEWAY_ATTACKS,
  ...MODEL_ATTACKS,
  ...GIT_PROGRAM_ATTACKS,
  ...GIT_ATTACKS,
  ...LIMIT_ATTACKS,
  ...DISK_ATTACKS,
  ...OUTPUT_ATTACKS,
];
