/** A process that commits until it is killed, and says each number once it is committed. Argument: the journal. */
import { writeSync } from 'node:fs';
import { openJournal } from '../../../src/daemon/journal.ts';
import { systemClock } from '../../../src/ports/clock.ts';

const journal = await openJournal({ path: process.argv[2] ?? '', clock: systemClock, lockWaitMs: 5_000 });
for (let n = journal.load().rows.length + 1; ; n++) {
  journal.commit([{ table: 'lease', key: `l${n}`, row: { n, text: 'x'.repeat(200) } }]);
  if (n % 50 === 0) journal.checkpoint();
  writeSync(1, `${n}\n`);
}
