/**
 * Crash tests only: `UNDERWAY_FAILPOINT=<name>[:<nth>]` kills the process, as kill -9 does, the nth time (default: the
 * first) that the driver passes that place, such as `after-commit` or `before-wire:3` (src/driver/driver.ts).
 */
import type { Failpoint } from '../driver/driver.ts';

/** Undefined when none is asked for. Throws RangeError on an nth that is no number. */
export function failpointIn(
  wanted: string | undefined,
  die: () => void = () => process.kill(process.pid, 'SIGKILL'),
): ((at: Failpoint) => void) | undefined {
  if (wanted === undefined || wanted === '') return undefined;
  const [name, nth = '1'] = wanted.split(':');
  let left = Number(nth);
  if (!Number.isInteger(left) || left < 1) throw new RangeError(`UNDERWAY_FAILPOINT=${wanted}: nth must be 1 or more`);
  return (at) => {
    if (at === name && --left === 0) die();
  };
}
