/** Architectures with a filter, as `process.arch` names them, and AUDIT_ARCH_* of each. */
export const ARCHITECTURES = { x64: 0xc000003e, arm64: 0xc00000b7 } as const;
export type Architecture = keyof typeof ARCHITECTURES;

/** Calls whose arguments decide, by their numbers. */
export const EXAMINED = {
  clone: { x64: 56, arm64: 220 },
  clone3: { x64: 435, arm64: 435 },
  socket: { x64: 41, arm64: 198 },
  ioctl: { x64: 16, arm64: 29 },
  personality: { x64: 135, arm64: 92 },
} as const;

/**
 * Calls that are refused, with their numbers on x64 and arm64; undefined: it does not exist there. Many need a capability
 * anyway: that they are refused keeps their code in the kernel out of reach, and holds where a capability is gained.
 *
 * `ptrace` and `process_vm_readv` stay, for debuggers: the PID namespace has no process of anybody else.
 */
export const REFUSED: Readonly<
  Record<string, readonly [x64: number | undefined, arm64: number | undefined]>
> = {
  // Keys belong to a user, not to a namespace.
  keyctl: [250, 219],
  add_key: [248, 217],
  request_key: [249, 218],
  // Its operations are filtered by no seccomp filter.
  io_uring_setup: [425, 425],
  io_uring_enter: [426, 426],
  io_uring_register: [427, 427],
  // Parts of the kernel with a history of escapes.
  userfaultfd: [323, 282],
  bpf: [321, 280],
  perf_event_open: [298, 241],
  // Another kernel, or code in this one.
  kexec_load: [246, 104],
  kexec_file_load: [320, 294],
  create_module: [174, undefined],
  init_module: [175, 105],
  finit_module: [313, 273],
  delete_module: [176, 106],
  get_kernel_syms: [177, undefined],
  query_module: [178, undefined],
  iopl: [172, undefined],
  ioperm: [173, undefined],
  // Namespaces, which give capabilities over more of the kernel; see also clone.
  unshare: [272, 97],
  setns: [308, 268],
  mount: [165, 40],
  umount2: [166, 39],
  pivot_root: [155, 41],
  chroot: [161, 51],
  open_tree: [428, 428],
  move_mount: [429, 429],
  fsopen: [430, 430],
  fsconfig: [431, 431],
  fsmount: [432, 432],
  fspick: [433, 433],
  mount_setattr: [442, 442],
  open_tree_attr: [467, 467],
  // See the file flags among ioctl's requests.
  file_setattr: [469, 469],
  // The machine itself.
  swapon: [167, 224],
  swapoff: [168, 225],
  reboot: [169, 142],
  acct: [163, 89],
  quotactl: [179, 60],
  quotactl_fd: [443, 443],
  syslog: [103, 116],
  // Files by their inodes, past the mounts.
  name_to_handle_at: [303, 264],
  open_by_handle_at: [304, 265],
  nfsservctl: [180, 42],
  lookup_dcookie: [212, 18],
  // Obsolete.
  uselib: [134, undefined],
  ustat: [136, undefined],
  sysfs: [139, undefined],
  _sysctl: [156, undefined],
};
