/**
 * A program for `sh -c`: a fork bomb that is deaf to SIGTERM and goes on where a fork is refused. A shell would end there,
 * and what a bomb of shells leaves running may be fewer processes than the limit, which nobody has to notice.
 * @param argument of all its processes, to find them by.
 */
export const forkBomb = (argument: string): string => `exec perl -MPOSIX=setsid -e '$SIG{TERM} = "IGNORE";
  while (1) {
    my $child = fork;
    setsid() if defined $child && !$child;
    select(undef, undef, undef, 0.01);
  }' ${argument}`;
