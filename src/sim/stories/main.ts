/**
 * Crashes every story at every failpoint, and prints how many there are; one story at one index prints its failpoints.
 * Exit code 1 when a world did not come right.
 */
import { checkWritable, writeFigures } from '../../program/figures.ts';
import { readFlags, runProgram, UsageError, wholeNumber } from '../../program/flags.ts';
import { crashEverywhere, type StoryReport, tell } from './crash-everywhere.ts';
import { STORIES, type Story } from './stories.ts';

const HELP = `node src/sim/stories/main.ts: canonical stories, ended at every failpoint
  --story TEXT        only stories with this in their names; !TEXT those without it
  --at N[,N]          tell them once, ended at these failpoints, and print the failpoints passed
  --lost-commits N    with --at: so many commits are lost with the process
  --json FILE         write the figures there
`;

await runProgram('stories', async () => {
  const { values } = readFlags({
    options: {
      story: { type: 'string', default: '' },
      at: { type: 'string' },
      'lost-commits': { type: 'string' },
      json: { type: 'string' },
      help: { type: 'boolean' },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const stories = chosen(values.story);
  const lost = values['lost-commits'];
  if (values.at !== undefined)
    return tellAt(stories, {
      at: values.at.split(',').map((text) => wholeNumber('at', text, { min: 0 })),
      lostCommits: lost === undefined ? undefined : wholeNumber('lost-commits', lost, { min: 0 }),
    });
  if (values.json !== undefined) checkWritable('json', values.json);
  return crashAll(stories, values.json);
});

function chosen(text: string): readonly Story[] {
  const isWithout = text.startsWith('!');
  const found = STORIES.filter(({ name }) => (isWithout ? !name.includes(text.slice(1)) : name.includes(text)));
  if (found.length === 0) throw new UsageError(`no story has ${text} in its name`);
  return found;
}

async function tellAt(
  stories: readonly Story[],
  { at, lostCommits }: { readonly at: readonly number[]; readonly lostCommits: number | undefined },
): Promise<number> {
  for (const story of stories) {
    const { passed, breaches, world } = await tell(story, at, lostCommits);
    for (const [n, failpoint] of passed.entries()) console.log(`${n} ${failpoint}`);
    for (const { atMs, action, count, outcome } of world.cloud.calls)
      console.log(`${atMs} ${action} ${count} ${outcome}`);
    for (const breach of breaches) console.log(`BREACH ${breach}`);
  }
  return 0;
}

async function crashAll(stories: readonly Story[], json: string | undefined): Promise<number> {
  const beganMs = performance.now();
  const reports: StoryReport[] = [];
  for (const story of stories) {
    const report = await crashEverywhere(story);
    reports.push(report);
    console.log(
      `${report.story}: ${report.failpoints} failpoints, ${report.runs} runs, ${report.breaches.length} broken`,
    );
    for (const breach of report.breaches.slice(0, 10)) console.log(`  ${breach}`);
  }
  const runs = reports.reduce((sum, report) => sum + report.runs, 0);
  console.log(`${runs} runs in ${((performance.now() - beganMs) / 1000).toFixed(1)} s`);
  if (json !== undefined) writeFigures(json, reports);
  return reports.some(({ breaches }) => breaches.length > 0) ? 1 : 0;
}
