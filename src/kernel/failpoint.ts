/**
 * Crash tests only: ends the process as kill -9 does at a named place, the nth time that it is passed. It is here because
 * the kernel worker has places of its own (`step`: after each step that the kernel took), in a thread that counts for
 * itself.
 *
 * `UNDERWAY_FAILPOINT=<name>[:<nth>]`, such as `after-commit` or `before-wire:3` (src/driver/driver.ts), or `@FILE`: then
 * FILE says it, counting begins when it does, and the word `record` in it appends each passing as `<name>:<nth>` to
 * `FILE.passed` instead.
 */
import { appendFileSync, readFileSync } from 'node:fs';

export type Failpoint = (at: string) => void;

const RECORD = 'record';

/** Undefined when none is asked for. Throws RangeError on an nth that is no number. */
export function failpointIn(
  asked: string | undefined,
  die: () => void = () => process.kill(process.pid, 'SIGKILL'),
): Failpoint | undefined {
  if (asked === undefined || asked === '') return undefined;
  const file = asked.startsWith('@') ? asked.slice(1) : undefined;
  if (file === undefined && !/^[a-z-]+(:[1-9]\d*)?$/.test(asked))
    throw new RangeError(`UNDERWAY_FAILPOINT=${asked} must be a name, or a name and a number from 1 such as step:3`);
  const counts = new Map<string, number>();
  let wanted = '';
  return (at) => {
    const now = file === undefined ? asked : textIn(file);
    if (now !== wanted) counts.clear();
    wanted = now;
    if (wanted === '') return;
    const nth = (counts.get(at) ?? 0) + 1;
    counts.set(at, nth);
    if (wanted === RECORD) appendFileSync(`${file}.passed`, `${at}:${nth}\n`);
    else if (wanted === `${at}:${nth}` || (wanted === at && nth === 1)) die();
  };
}

function textIn(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
