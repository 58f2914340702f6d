/**
 * `node src/sim/stories/main.ts [--story TEXT] [--at N] [--json FILE]`: crashes every story at every failpoint, and
 * prints how many there are; one story at one index prints its failpoints. Exit code 1 when a world did not come right.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { crashEverywhere, type StoryReport, tell } from './crash-everywhere.ts';
import { STORIES } from './stories.ts';

const { values } = parseArgs({
  options: {
    story: { type: 'string', default: '' },
    at: { type: 'string' },
    'lost-commits': { type: 'string' },
    json: { type: 'string' },
  },
});

/** `!TEXT` chooses the stories without it. */
const chosen = STORIES.filter(({ name }) =>
  values.story.startsWith('!') ? !name.includes(values.story.slice(1)) : name.includes(values.story),
);

if (values.at !== undefined) {
  const lost = values['lost-commits'] === undefined ? undefined : Number(values['lost-commits']);
  for (const story of chosen) {
    const { passed, breaches, world } = await tell(story, values.at.split(',').map(Number), lost);
    for (const [at, failpoint] of passed.entries()) console.log(`${at} ${failpoint}`);
    for (const { atMs, action, count, outcome } of world.cloud.calls)
      console.log(`${atMs} ${action} ${count} ${outcome}`);
    for (const breach of breaches) console.log(`BREACH ${breach}`);
  }
} else {
  const beganMs = performance.now();
  const reports: StoryReport[] = [];
  for (const story of chosen) {
    const report = await crashEverywhere(story);
    reports.push(report);
    console.log(
      `${report.story}: ${report.failpoints} failpoints, ${report.runs} runs, ${report.breaches.length} broken`,
    );
    for (const breach of report.breaches.slice(0, 10)) console.log(`  ${breach}`);
  }
  const runs = reports.reduce((sum, report) => sum + report.runs, 0);
  console.log(`${runs} runs in ${((performance.now() - beganMs) / 1000).toFixed(1)} s`);
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(reports, null, 2)}\n`);
  process.exitCode = reports.some(({ breaches }) => breaches.length > 0) ? 1 : 0;
}
