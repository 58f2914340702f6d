/** What starts the bundled daemon: `underwayd`, a shell script, and `start.cjs`, which looks at the Node it got. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What the bundle is built for, and what FFI, types and `Error.isError` need. */
export const NODE_MAJOR_MIN = 24;

/**
 * V8 and malloc have to be told before they start. By default the young generation grows to 16 MB three times over, the
 * old one to four times of what lives, and each thread has an arena of its own: a daemon of 250 pods took 202 MB after it
 * had made them, and 322 while others came and went. What lives is 25 MB; towards a limit V8 lets less pile up.
 */
const LAUNCHER = `#!/bin/sh
# The node daemon, with the memory of a node daemon. UNDERWAY_NODE: the Node to run it, which is the PATH's without it.
export MALLOC_ARENA_MAX="\${MALLOC_ARENA_MAX:-2}"
exec "\${UNDERWAY_NODE:-node}" --max-semi-space-size=1 --max-old-space-size=256 "$(dirname "$(readlink -f "$0")")/start.cjs" "$@"
`;

/** In words that any Node reads: an old one cannot even parse the bundle. 78: waiting does not cure it (sysexits.h). */
const START = `'use strict';
if (parseInt(process.versions.node, 10) < ${NODE_MAJOR_MIN}) {
  process.stderr.write(
    'underwayd: needs Node ${NODE_MAJOR_MIN} or newer, and ' + process.execPath + ' is ' + process.versions.node +
      ': put a newer one first on PATH, or name it by UNDERWAY_NODE\\n'
  );
  process.exitCode = 78;
} else {
  import('./underwayd.js');
}
`;

export function writeLauncher(folder: string): void {
  writeFileSync(join(folder, 'start.cjs'), START);
  writeFileSync(join(folder, 'underwayd'), LAUNCHER, { mode: 0o755 });
}
