/**
 * `npm test`: every tier this machine can run, in order of cost; what was skipped is named, with how to get it.
 * With CI=true a skip is a failure.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { privilegedEnv, privilegedPrefix } from '../src/lab/privilege.ts';
import { defaultStateRoot } from '../src/lab/state-folder.ts';

const ROOT = dirname(import.meta.dirname);

interface Tier {
  readonly name: string;
  readonly what: string;
  /** Undefined when this machine can run it, else what it lacks. */
  readonly lacks?: string | undefined;
  /** Namespaces and timing are the machine's: one test at a time. */
  readonly inBand: boolean;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { tier: { type: 'string', multiple: true }, help: { type: 'boolean', default: false } },
});

if (values.help) {
  console.log(
    'npm test [-- --tier tidy|unit|sim|kernel|lab ...] [PATH-PATTERN]\nRuns every tier this machine can run; CI=true makes a skipped tier a failure.',
  );
  process.exit(0);
}

const namespaces = canMakeNamespaces()
  ? undefined
  : 'network namespaces: run as root, or allow user namespaces (sysctl kernel.unprivileged_userns_clone=1)';
const compiler = hasCompiler() ? undefined : 'a C compiler (Debian: apt-get install gcc libc6-dev)';

const TIERS: readonly Tier[] = [
  { name: 'tidy', what: 'imports, names, sizes, docs against code', inBand: false },
  { name: 'unit', what: 'pure parts, and every adapter against its port', lacks: compiler, inBand: false },
  { name: 'sim', what: 'the fault simulator, a fixed set of seeds', inBand: false },
  { name: 'kernel', what: 'netlink in real namespaces', lacks: namespaces, inBand: true },
  { name: 'lab', what: 'a VPC with real packets', lacks: namespaces ?? compiler, inBand: true },
];

const skipped: string[] = [];
let failed = false;

if (compiler === undefined) execFileSync(process.execPath, [join(ROOT, 'deploy/build-shim.ts')], { stdio: 'inherit' });

for (const tier of TIERS) {
  if (values.tier !== undefined && !values.tier.includes(tier.name)) continue;
  if (tier.lacks !== undefined && tier.name !== 'unit') {
    skipped.push(`${tier.name} (${tier.what}): it needs ${tier.lacks}`);
    continue;
  }
  console.log(`\n=== ${tier.name}: ${tier.what}`);
  if (!runTier(tier)) failed = true;
}

for (const line of skipped) console.log(`SKIPPED ${line}`);
if (skipped.length > 0 && process.env.CI === 'true') failed = true;
console.log(
  failed ? '\nnpm test: FAILED' : `\nnpm test: passed${skipped.length > 0 ? `, ${skipped.length} tiers skipped` : ''}`,
);
process.exit(failed ? 1 : 0);

function runTier(tier: Tier): boolean {
  const jest = join(ROOT, 'node_modules/jest/bin/jest.js');
  const args = [
    jest,
    '-c',
    'test/jest.config.mjs',
    `--selectProjects=${tier.name}`,
    '--passWithNoTests',
    ...(tier.inBand ? ['--runInBand'] : []),
  ];
  if (positionals.length > 0) args.push(`--testPathPatterns=${positionals.join('|')}`);
  // Who is not root gets the namespaces inside a user namespace of its own.
  const prefix = tier.inBand ? privilegedPrefix() : [];
  const [program = process.execPath, ...rest] = [...prefix, process.execPath, ...args];
  const result = spawnSync(program, rest, {
    cwd: ROOT,
    stdio: 'inherit',
    env: {
      ...process.env,
      ...(prefix.length > 0 ? privilegedEnv(defaultStateRoot()) : {}),
      NODE_OPTIONS: '--experimental-vm-modules --disable-warning=ExperimentalWarning',
    },
  });
  return result.status === 0;
}

function canMakeNamespaces(): boolean {
  const flags = process.getuid?.() === 0 ? ['--net'] : ['--user', '--map-root-user', '--net', '--mount'];
  return spawnSync('unshare', [...flags, 'true']).status === 0;
}

function hasCompiler(): boolean {
  return [process.env.CC, 'cc', 'gcc', 'clang'].some(
    (name) => name !== undefined && spawnSync(name, ['--version']).status === 0,
  );
}
