/**
 * Settings of all git that the service runs. They are given as environment and as `-c`, which no configuration of a
 * repository overrides.
 */
const SETTINGS: Readonly<Record<string, string>> = {
  // Nothing that a repository contains or configures is run.
  "core.hooksPath": "/dev/null",
  "core.fsmonitor": "false",
  // receive-pack runs it for its own quarantine.
  "core.alternateRefsCommand": "true",
  "core.attributesFile": "/dev/null",
  "core.excludesFile": "/dev/null",
  "core.protectHFS": "true",
  "core.protectNTFS": "true",
  "submodule.recurse": "false",
  "fetch.recurseSubmodules": "false",
  "gc.auto": "0",
  "maintenance.auto": "false",
  "receive.autogc": "false",
  "fetch.writeCommitGraph": "false",
  "core.logAllRefUpdates": "false",
  // Files above 16 MiB are streamed; without this, three of 500 MB took 1.6 GB.
  "core.bigFileThreshold": "16m",
  "core.packedGitWindowSize": "32m",
  "core.packedGitLimit": "256m",
  "core.deltaBaseCacheLimit": "32m",
  "pack.threads": "2",
  "pack.windowMemory": "64m",
  "pack.deltaCacheSize": "32m",
  "index.threads": "1",
  // Several would write 50,000 files in 1.8 s instead of 2.7, but do not say why one cannot be written: that the disk is full.
  "checkout.workers": "1",
  "protocol.allow": "never",
  "protocol.file.allow": "always",
  "protocol.http.allow": "always",
  "protocol.https.allow": "always",
  "http.followRedirects": "false",
  // Give up on a host that stalls for a minute.
  "http.lowSpeedLimit": "1000",
  "http.lowSpeedTime": "60",
  "transfer.fsckObjects": "true",
};

/** What old, honest repositories contain. Everything that could harm a checkout remains an error. */
const HARMLESS = [
  ...["zeroPaddedFilemode", "missingSpaceBeforeDate", "missingSpaceBeforeEmail", "missingNameBeforeEmail"],
  ...["badTimezone", "badEmail", "badName", "zeroPaddedDate", "badDate", "badDateOverflow"],
];

/** For index-pack, which does not read the settings of fetch. */
export const STRICT = `--strict=${HARMLESS.map((one) => `${one}=ignore`).join(",")}`;

const settingsOf = (more: Readonly<Record<string, string>>): [string, string][] => [
  ...Object.entries(SETTINGS),
  ...HARMLESS.flatMap((one): [string, string][] => [
    [`fetch.fsck.${one}`, "ignore"],
    [`receive.fsck.${one}`, "ignore"],
  ]),
  ...Object.entries(more),
];

/** @param more settings of this command alone. */
export function gitEnvironment(more: Readonly<Record<string, string>>): Record<string, string> {
  const settings = settingsOf(more);
  return {
    LANG: "C.UTF-8",
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_CONFIG_GLOBAL: "/dev/null",
    GIT_ATTR_NOSYSTEM: "1",
    GIT_NO_REPLACE_OBJECTS: "1",
    GIT_GRAFT_FILE: "/dev/null",
    GIT_NO_LAZY_FETCH: "1",
    GIT_TERMINAL_PROMPT: "0",
    GIT_ALLOW_PROTOCOL: "file:http:https",
    GIT_CONFIG_COUNT: `${settings.length}`,
    ...Object.fromEntries(
      settings.flatMap(([key, value], index) => [
        [`GIT_CONFIG_KEY_${index}`, key],
        [`GIT_CONFIG_VALUE_${index}`, value],
      ]),
    ),
  };
}

/**
 * The command of the other side, where that is a folder of this machine: git passes no settings on to it. A constant,
 * which a shell reads; the folder is a variable in its environment.
 */
export const otherSide = (command: "upload-pack" | "receive-pack"): string =>
  [
    "git",
    ...settingsOf({}).map(([key, value]) => `-c ${key}=${value}`),
    '-c "safe.directory=$SOURCE"',
    command,
  ].join(" ");

/** A constant: the credential itself is only in the environment of the commands that may need it. */
const CREDENTIAL_HELPER =
  '!f() { test "$1" = get && printf "username=%s\\npassword=%s\\n" "$PROMPT_BACKEND_GIT_USER" "$PROMPT_BACKEND_GIT_TOKEN"; }; f';

/** Settings that make git ask for a credential for a host's URLs, and for no other. @param url of ForgeHost. */
export const credentialSettings = (url: string): Record<string, string> => ({
  // Nothing else that a repository configures is asked, or told what was sent.
  "credential.helper": "",
  [`credential.${url}.helper`]: CREDENTIAL_HELPER,
});

/**
 * Settings of git-lfs, which a repository's own .lfsconfig does not override: objects come from the repository's host, as its
 * HTTP interface says, and nothing that a repository could name is run.
 */
export function lfsSettings(url: string, authenticated: boolean): Record<string, string> {
  const endpoint = `${url.replace(/\.git$/, "")}.git/info/lfs`;
  return {
    "remote.objects.url": url,
    "lfs.url": endpoint,
    "lfs.pushurl": endpoint,
    // Otherwise it asks without the credential first, and writes down that this was wrong.
    ...(authenticated && { [`lfs.${endpoint}.access`]: "basic" }),
    "lfs.basictransfersonly": "true",
    "lfs.standalonetransferagent": "",
    "lfs.locksverify": "false",
    "lfs.fetchinclude": "",
    "lfs.fetchexclude": "",
    "lfs.fetchrecentalways": "false",
    "lfs.concurrenttransfers": "4",
    "lfs.transfer.maxretries": "3",
  };
}

/**
 * How git-lfs is used in a checkout. Without its objects, or where git-lfs is missing, files stay what they are: a filter
 * that is required would keep the agent's git from adding them at all.
 */
const LFS_FILTER: readonly (readonly [string, string])[] = [
  ["clean", "git-lfs clean -- %f"],
  ["smudge", "git-lfs smudge -- %f"],
  ["process", "git-lfs filter-process"],
];

/** The same as settings, for commands that must not depend on the checkout's configuration. */
export const lfsFilterSettings: Readonly<Record<string, string>> = Object.fromEntries([
  ...LFS_FILTER.map(([key, value]) => [`filter.lfs.${key}`, value]),
  ["filter.lfs.required", "false"],
]);

/** The configuration of a new checkout. @param options.lfs it has git-lfs. */
export function checkoutConfig(options: {
  origin: string;
  author: { name: string; email: string };
  lfs: boolean;
}): string {
  const { origin, author, lfs } = options;
  return [
    "[core]",
    "\trepositoryformatversion = 0",
    "\tfilemode = true",
    "\tbare = false",
    "\tlogallrefupdates = true",
    '[remote "origin"]',
    `\turl = ${quoted(origin)}`,
    "\tfetch = +refs/heads/*:refs/remotes/origin/*",
    "[user]",
    `\tname = ${quoted(author.name)}`,
    `\temail = ${quoted(author.email)}`,
    ...(lfs
      ? [
          "[lfs]",
          "\tskipdownloaderrors = true",
          '[filter "lfs"]',
          ...LFS_FILTER.map(([key, value]) => `\t${key} = ${value}`),
        ]
      : []),
    "",
  ].join("\n");
}

const quoted = (text: string) =>
  /^[\w@%+=:,./-]+$/.test(text)
    ? text
    : `"${text.replace(/[\\"]/g, "\\$&").replaceAll("\n", "\\n").replaceAll("\t", "\\t")}"`;
