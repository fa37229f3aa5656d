import { makeRepository, type TestRepository } from "../harness/repository.ts";

/** What a prompt of two lines can do to a node that trusts it: the attacks of S4 and S5. */
export interface Bomb {
  name: string;
  /** Run by sh in the sandbox. */
  script: string;
  env?: Record<string, string>;
}

const perl = (code: string) => `perl -e '${code}'`;

export const BOMBS: readonly Bomb[] = [
  {
    name: "transcript of 40 GB",
    script:
      'mkdir -p "$AGENT_STATE_DIR/projects/-workspace"; for f in "$AGENT_STATE_DIR/$AGENT_CONVERSATION_ID.jsonl" "$AGENT_STATE_DIR/projects/-workspace/$AGENT_CONVERSATION_ID.jsonl"; do truncate -s 40G "$f"; done; echo done',
  },
  {
    name: "hole in the journal",
    script: perl('sysseek(STDOUT, 1<<43, 0); syswrite(STDOUT, "x\\n"); print STDERR "$!\\n"; sleep 5'),
  },
  {
    name: "truncated journal",
    script: "echo one; truncate -s 0 /proc/self/fd/1; truncate -s 40G /proc/self/fd/1; echo two",
  },
  { name: "lines of 16 MB, nested", script: perl('print "{\\"a\\":" x (2<<20), "\\n" for 1..20') },
  {
    name: "lines of 16 MB, nodes",
    script: perl('print "{\\"type\\":\\"assistant\\",\\"a\\":[", "{}," x (5<<20), "0]}\\n" for 1..20'),
  },
  {
    name: "lines of 16 MB, text",
    script: perl(
      'print "{\\"type\\":\\"assistant\\",\\"message\\":\\"", "x" x (16<<20), "\\"}\\n" for 1..20',
    ),
  },
  { name: "yes a", script: "timeout 20 yes a" },
  { name: "yes {}", script: `timeout 20 yes '{"type":"system"}'` },
  {
    name: "500 x 1.8 MB environ",
    script: perl(
      '$ENV{"A$_"} = "x" x 120000 for 1..15; for (1..500) { my $p = fork; last if !defined $p; exec "sleep", "30" if !$p } sleep 30',
    ),
  },
  {
    name: "CLAUDE.md of 1.5 GB",
    script: "rm -f README.md; truncate -s 1500M CLAUDE.md; echo CLAUDE.md > .gitignore; sleep 2",
    env: { RUN_DISK_MB: "4096" },
  },
  {
    name: "three files of 300 MB",
    script: "for n in a b c; do head -c 300M /dev/urandom > $n; done; echo done",
  },
  { name: "full disk", script: 'cat /dev/zero > "$HOME/fill"; sleep 60' },
  {
    name: "full disk, many files",
    script: "mkdir -p d; n=0; while :; do n=$((n+1)); : > d/$n || break; done",
  },
  {
    name: "clean filter",
    script:
      "echo '* filter=bomb' > .gitattributes; git config filter.bomb.clean 'cat /dev/zero >&3; cat /dev/zero'; echo x > x",
  },
  { name: "git bomb", script: "echo never" },
  { name: "fork bomb", script: "f(){ f|f& }; f; sleep 60" },
  { name: "memory bomb", script: perl('my @a; push @a, "x" x (32<<20) while 1') },
  { name: "shared memory", script: "cat /dev/zero > /dev/shm/x; cat /dev/zero > /tmp/x; sleep 60" },
];

/** A repository of some 200 objects whose checkout has a million files. */
export async function gitBomb(): Promise<TestRepository> {
  const repository = await makeRepository();
  const { git, path } = repository;
  await Bun.write(`${path}/f`, "x");
  const blob = (await git("hash-object", "-w", "f")).trim();
  const treeOf = async (line: (n: number) => string) => {
    await Bun.write(`${path}/tree`, Array.from({ length: 100 }, (_, n) => line(n)).join("\n"));
    const child = Bun.spawn(["git", "mktree"], {
      cwd: path,
      stdin: Bun.file(`${path}/tree`),
      stdout: "pipe",
    });
    return (await child.stdout.text()).trim();
  };
  const name = (n: number) => `f${String(n).padStart(3, "0")}`;
  let tree = await treeOf((n) => `100644 blob ${blob}\t${name(n)}`);
  for (let depth = 0; depth < 2; depth += 1) {
    const below = tree;
    tree = await treeOf((n) => `040000 tree ${below}\t${name(n)}`);
  }
  const commit = (await git("commit-tree", tree, "-m", "bomb")).trim();
  await git("update-ref", "refs/heads/main", commit);
  return repository;
}
