/**
 * `node src/sim/small-world/main.ts [--depth N] [--states N] [--pods N] [--crashes N] [--failures N] [--hang-ups N] [--heal-each N]`:
 * explores a small world and prints how far it came. Exit code 1 with the shortest way to what is broken.
 */
import { parseArgs } from 'node:util';
import { explore } from './explore.ts';

const { values } = parseArgs({
  options: {
    depth: { type: 'string', default: '40' },
    states: { type: 'string', default: '60000' },
    pods: { type: 'string', default: '3' },
    crashes: { type: 'string', default: '1' },
    failures: { type: 'string', default: '1' },
    'hang-ups': { type: 'string', default: '1' },
    'heal-each': { type: 'string', default: '50' },
  },
});

const beganMs = performance.now();
const { states, moves, depth, widths, healed, breaches } = explore({
  depth: Number(values.depth),
  statesMax: Number(values.states),
  pods: Number(values.pods),
  crashes: Number(values.crashes),
  failures: Number(values.failures),
  hangUps: Number(values['hang-ups']),
  healEach: Number(values['heal-each']),
});
const seconds = (performance.now() - beganMs) / 1000;
console.log(`new states at each depth: ${widths.join(' ')}`);
console.log(
  `${states} states, ${moves} moves, depth ${depth}, ${healed} leaves healed, ${seconds.toFixed(1)} s, ` +
    `${Math.round(states / seconds)} states and ${Math.round(moves / seconds)} moves a second`,
);
for (const breach of breaches.slice(0, 3)) console.log(`BREACH ${breach}`);
process.exitCode = breaches.length === 0 ? 0 : 1;
