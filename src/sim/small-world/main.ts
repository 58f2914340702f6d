/** Explores a small world and prints how far it came. Exit code 1 with the shortest way to what is broken. */
import { readFlags, runProgram, wholeNumber } from '../../program/flags.ts';
import { explore } from './explore.ts';

const bound = (figure: string) => ({ type: 'string', default: figure }) as const;

/** What bounds the exploration, and how far where nothing is said. */
const BOUNDS = {
  depth: bound('1000'),
  states: bound('60000'),
  pods: bound('3'),
  crashes: bound('1'),
  failures: bound('1'),
  'hang-ups': bound('1'),
  'heal-each': bound('50'),
};

const HELP = `node src/sim/small-world/main.ts: every order of events on the smallest node
${Object.entries(BOUNDS)
  .map(([name, figure]) => `  --${name} N (default ${figure.default})\n`)
  .join('')}`;

await runProgram('small-world', async () => {
  const { values } = readFlags({ options: { ...BOUNDS, help: { type: 'boolean' } } });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const most = (name: keyof typeof BOUNDS): number =>
    wholeNumber(name, values[name], { min: name === 'heal-each' ? 1 : 0 });
  const beganMs = performance.now();
  const { states, moves, depth, widths, healed, isWhole, breaches } = explore({
    depth: most('depth'),
    statesMax: most('states'),
    pods: most('pods'),
    crashes: most('crashes'),
    failures: most('failures'),
    hangUps: most('hang-ups'),
    healEach: most('heal-each'),
  });
  const seconds = (performance.now() - beganMs) / 1000;
  console.log(`new states at each depth: ${widths.join(' ')}`);
  console.log(
    `${isWhole ? 'all' : 'the first'} ${states} states, ${moves} moves, depth ${depth}, ${healed} healed, ${seconds.toFixed(1)} s, ` +
      `${Math.round(states / seconds)} states and ${Math.round(moves / seconds)} moves a second`,
  );
  for (const breach of breaches.slice(0, 3)) console.log(`BREACH ${breach}`);
  return breaches.length === 0 ? 0 : 1;
});
