/**
 * `npm test`: every tier this machine can run, in order of cost; what was skipped is named, with how to get it.
 * With CI=true a skip is a failure. How it is for who may do less than root: test/lab/unprivileged.test.ts.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { isInUserNamespace, isPrivileged, privilegedEnv, privilegedPrefix } from '../src/lab/privilege.ts';
import { findBoto, HOW_TO_GET_IT } from './lab/ec2/boto.ts';
import { libcniLack } from './lab/libcni/driver.ts';
import { runtimeLacks } from './runtime/lacks.ts';

const ROOT = dirname(import.meta.dirname);

interface Lack {
  /** What cannot be run without it; undefined is all of the tier. */
  readonly part?: string;
  readonly needs: string;
}

interface Tier {
  readonly name: string;
  readonly what: string;
  readonly lacks: readonly Lack[] | Promise<readonly Lack[]>;
  /** It makes namespaces. */
  readonly inNamespaces?: true;
  /** Files at a time. */
  readonly workers: number;
  /** Files of which each has the machine for itself, after the others. */
  readonly alone?: string;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { tier: { type: 'string', multiple: true }, help: { type: 'boolean', default: false } },
});

if (values.help) {
  console.log(
    'npm test [-- --tier tidy|unit|sim|kernel|lab|runtime ...] [PATH-PATTERN]\nRuns every tier this machine can run; CI=true makes a skipped tier a failure.',
  );
  process.exit(0);
}

const prefix = namespacePrefix();
const namespaces = typeof prefix === 'string' ? [{ needs: prefix }] : [];
const compiler = hasCompiler() ? [] : [{ needs: 'It needs a C compiler (Debian: apt-get install gcc libc6-dev).' }];
const nobody =
  isPrivileged() && !isInUserNamespace()
    ? []
    : [{ part: 'what nobody may do', needs: 'It becomes nobody: run it as root.' }];
const mounts = isPrivileged() ? [] : [{ part: 'a full disk', needs: 'It mounts a small one: run it as root.' }];

/** By itself jest would leave one core idle, of two as well. */
const ALL_CORES = availableParallelism();
/** What waits more than it works. */
const TWO = 2;

const TIERS: readonly Tier[] = [
  { name: 'tidy', what: 'imports, names, sizes, docs against code', lacks: [], workers: 1 },
  {
    name: 'unit',
    what: 'pure parts, and every adapter against its port',
    lacks: [...compiler.map((lack) => ({ ...lack, part: 'the CNI binary' })), ...mounts],
    workers: ALL_CORES,
  },
  { name: 'sim', what: 'the fault simulator, a fixed set of seeds', lacks: [], workers: ALL_CORES },
  { name: 'kernel', what: 'netlink in real namespaces', lacks: namespaces, inNamespaces: true, workers: TWO },
  {
    name: 'lab',
    what: 'a VPC with real packets',
    lacks: isChosen('lab') ? labLacks() : [],
    inNamespaces: true,
    workers: TWO,
    // They measure.
    alone: '/lab/packets/',
  },
  {
    name: 'runtime',
    what: 'sandboxes of real container runtimes',
    // It may build one, for minutes: beside the other tiers.
    lacks: compiler.length > 0 ? compiler : isChosen('runtime') ? runtimeLacks() : [],
    inNamespaces: true,
    workers: TWO,
    // A runtime that is killed and started over and over, against deadlines.
    alone: '/runtime/endings',
  },
];

const cache = cacheFolder();
const skipped: string[] = [];
let failed = false;

if (compiler.length === 0) execFileSync(process.execPath, [join(ROOT, 'deploy/build-shim.ts')], { stdio: 'inherit' });

for (const tier of TIERS) {
  if (!isChosen(tier.name)) continue;
  const lacks = await tier.lacks;
  for (const { part, needs } of lacks) skipped.push(`${tier.name} (${part ?? tier.what}): ${needs}`);
  if (lacks.some(({ part }) => part === undefined)) continue;
  console.log(`\n=== ${tier.name}: ${tier.what}`);
  for (const args of partsOf(tier)) if (!(await runJest(tier, args))) failed = true;
}

if (cache.temporary) rmSync(cache.folder, { recursive: true, force: true });
for (const line of skipped) console.log(`SKIPPED ${line}`);
if (skipped.length > 0 && process.env.CI === 'true') failed = true;
console.log(
  failed ? '\nnpm test: FAILED' : `\nnpm test: passed${skipped.length > 0 ? `, ${skipped.length} skipped` : ''}`,
);
process.exit(failed ? 1 : 0);

function isChosen(name: string): boolean {
  return values.tier === undefined || values.tier.includes(name);
}

/** What part of it lacks is of no interest where all of it does. */
async function labLacks(): Promise<readonly Lack[]> {
  const all = [...namespaces, ...compiler];
  if (all.length > 0) return all;
  // Fetched out here: who is not root has the tests in a namespace without a network.
  const [boto, library] = await Promise.all([findBoto(), libcniLack()]);
  return [
    ...(boto === undefined ? [{ part: 'a client of EC2 that is not ours', needs: HOW_TO_GET_IT }] : []),
    ...(library === undefined ? [] : [{ part: 'the library that runtimes call CNI by', needs: library }]),
    ...nobody,
  ];
}

/** What each run of jest is told of which files are its own. */
function partsOf({ workers, alone }: Tier): readonly (readonly string[])[] {
  const many = `--maxWorkers=${workers}`;
  const without = (pattern: string): string => `--testPathIgnorePatterns=${pattern}`;
  return alone === undefined
    ? [[many]]
    : [
        [many, without(alone)],
        ['--runInBand', without(`^(?!.*${alone})`)],
      ];
}

async function runJest(tier: Tier, part: readonly string[]): Promise<boolean> {
  const jest = join(ROOT, 'node_modules/jest/bin/jest.js');
  const args = [
    jest,
    '-c',
    'test/jest.config.mjs',
    `--selectProjects=${tier.name}`,
    '--passWithNoTests',
    `--cacheDirectory=${cache.folder}`,
    ...part,
  ];
  if (positionals.length > 0) args.push(`--testPathPatterns=${positionals.join('|')}`);
  // Who is not root gets the namespaces inside a user namespace of its own.
  const before = tier.inNamespaces && typeof prefix !== 'string' ? prefix : [];
  const [program = process.execPath, ...rest] = [...before, process.execPath, ...args];
  const child = spawn(program, rest, {
    cwd: ROOT,
    stdio: 'inherit',
    env: {
      ...process.env,
      ...(before.length > 0 ? privilegedEnv() : {}),
      NODE_OPTIONS: '--experimental-vm-modules --disable-warning=ExperimentalWarning',
      NODE_COMPILE_CACHE: join(cache.folder, 'compiled'),
    },
  });
  const [code] = await once(child, 'close');
  return code === 0;
}

/** A user namespace's root has the number of the machine's, whose folder it may not write: then one for this run. */
function cacheFolder(): { readonly folder: string; readonly temporary: boolean } {
  const folder = join(tmpdir(), `underway-jest-${process.getuid?.()}`);
  mkdirSync(folder, { recursive: true });
  return statSync(folder).uid === process.getuid?.()
    ? { folder, temporary: false }
    : { folder: mkdtempSync(`${folder}-`), temporary: true };
}

/** What to put before the tests that make namespaces, or a sentence on how to be let make them. */
function namespacePrefix(): readonly string[] | string {
  try {
    return privilegedPrefix();
  } catch (error) {
    return Error.isError(error) ? error.message : String(error);
  }
}

function hasCompiler(): boolean {
  return [process.env.CC, 'cc', 'gcc', 'clang'].some(
    (name) => name !== undefined && spawnSync(name, ['--version']).status === 0,
  );
}
