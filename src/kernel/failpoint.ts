/**
 * Crash tests only: ends the process as kill -9 does at a named place, the nth time that it is passed. It is here because
 * of the kernel's own place (`step`: after each step that the kernel took), which two threads pass: which of them does a
 * deed is a matter of what else is under way, so the process counts those, and each thread its other places.
 *
 * `UNDERWAY_FAILPOINT=<name>[:<nth>]`, such as `after-commit` or `before-wire:3` (src/driver/driver.ts), or `@FILE`: then
 * FILE says it, counting begins when it does, and the word `record` in it appends each passing as `<name>:<nth>` to
 * `FILE.passed` instead.
 */
import { appendFileSync, readFileSync } from 'node:fs';
import { workerData } from 'node:worker_threads';
import { crc32 } from 'node:zlib';

export type Failpoint = (at: string) => void;

const RECORD = 'record';
const STEP = 'step';

/** How many steps were passed, and what was asked for meanwhile. Of a worker, the one of the thread that started it. */
export const STEPS: Int32Array = workerData?.steps ?? new Int32Array(new SharedArrayBuffer(8));

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
    const nth = at === STEP ? nextStep(wanted) : (counts.get(at) ?? 0) + 1;
    counts.set(at, nth);
    if (wanted === RECORD) appendFileSync(`${file}.passed`, `${at}:${nth}\n`);
    else if (wanted === `${at}:${nth}` || (wanted === at && nth === 1)) die();
  };
}

/** Counting begins anew with what is asked for. */
function nextStep(wanted: string): number {
  const asked = crc32(wanted) | 0;
  if (Atomics.exchange(STEPS, 1, asked) !== asked) Atomics.store(STEPS, 0, 0);
  return Atomics.add(STEPS, 0, 1) + 1;
}

function textIn(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
