/** `npm run bench`. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Bench } from './bench.ts';
import { checkPlugins } from './contenders.ts';
import { measureLatency } from './latency.ts';
import { latencyRatios } from './ratios.ts';

checkPlugins();
const json = process.argv[process.argv.indexOf('--json') + 1] ?? '';
const scratch = mkdtempSync(join(tmpdir(), 'uwbench'));
const bench = new Bench({ quick: process.argv.includes('--quick'), scratch });
try {
  const latency = await measureLatency(bench);
  for (const row of latency)
    console.log(
      row.contender.padEnd(10),
      row.verb.padEnd(6),
      String(row.ways).padStart(3),
      row.p50.toFixed(2).padStart(8),
      row.p99.toFixed(2).padStart(8),
      row.perSecond.toFixed(0).padStart(8),
      row.insideMs?.toFixed(3) ?? '',
    );
  const ratios = latencyRatios(latency);
  console.log(ratios);
  if (process.argv.includes('--json')) writeFileSync(json, JSON.stringify({ ratios, latency }, null, 2));
} finally {
  rmSync(scratch, { recursive: true, force: true });
  await bench.closeAll();
}
process.exit();
