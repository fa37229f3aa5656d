import { EXIT } from "./script-parts.ts";

/** Files of .gitattributes in one commit, and the bytes of one. */
const MAX_ATTRIBUTES = 1_000;
const ATTRIBUTES_BYTES = 1024 * 1024;
/** Submodules of one commit that are looked at. */
const MAX_LINKS = 1_000;

/**
 * What there is to know of a commit's files, from one walk, whose result the store keeps: a commit does not change. The file
 * walked/<commit> has how many files and folders there are, how many bytes, and `lfs` if any .gitattributes gives files to Git
 * LFS, then the first submodules as ls-tree prints them. A commit that has more than $MAX_FILES, which no checkout may have, is
 * not walked to its end, and nothing is kept of it. `fits` needs SIZE.
 */
export const WALK = `
# $1 commit. Fails if nothing is known of it then.
walk() {
  if [ -f "$STORE/walked/$1" ]; then return 0; fi
  mkdir -p "$STORE/walked" && draft=$(mktemp "$STORE/walked/tmp_XXXXXX") && chmod 644 "$draft" || return
  { git ls-tree -r -t -l "$1" 2>/dev/null || echo failed; } | LC_ALL=C awk -v files="$MAX_FILES" '
    $1 == "failed" { failed = 1; exit }
    { count += 1; if ($4 ~ /^[0-9]+$/) sum += $4; if (count > files + 0) { failed = 1; exit } }
    $1 == "160000" && (found_links += 1) <= ${MAX_LINKS} { links = links $0 "\\n" }
    /[\\t\\/]\\.gitattributes"?$/ && !seen[$3]++ && found < ${MAX_ATTRIBUTES} { found += 1; ids = ids " " $3 }
    END { if (failed) exit 1; printf "%.0f %.0f%s\\n%s", count, sum, ids, links }' >"$draft" &&
    read -r count bytes ids <"$draft" || { rm -f "$draft"; return 1; }
  if [ -n "$ids" ]; then
    lfs=-
    if printf '%s\\n' $ids | git cat-file --batch-check | awk '$3 <= ${ATTRIBUTES_BYTES} { print $1 }' |
      git cat-file --batch | grep -q -F filter=lfs; then lfs=lfs; fi
    { echo "$count $bytes $lfs"; tail -n +2 "$draft"; } >"$draft.new" && mv "$draft.new" "$draft" || { rm -f "$draft"*; return 1; }
  fi
  mv "$draft" "$STORE/walked/$1"
}
# $1 commit. Reads what is known of it into count, bytes and lfs. Fails if nothing is.
read_walk() {
  count= bytes= lfs=
  if ! [ -f "$STORE/walked/$1" ]; then return 1; fi
  read -r count bytes lfs <"$STORE/walked/$1"
  if [ "$lfs" != lfs ]; then lfs=; fi
}
# The same arguments and exit codes as those of \`size\`, and the same prints; sets lfs.
fits() {
  if ! read_walk "$1"; then size "$@"; return; fi
  if [ "$count" -gt "$2" ] || [ "$bytes" -gt "$3" ]; then return ${EXIT.tooLarge}; fi
  if [ -z "\${4:-}" ]; then return 0; fi
  while IFS= read -r line; do
    case $line in 160000*) printf '%s\\n' "$line" ;; esac
  done <"$STORE/walked/$1"
  echo "size $count $bytes"
}
`;
