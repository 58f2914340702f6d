/**
 * `underwayd`: flags, signals and exit codes around the daemon, and the one place that knows which kernel and which
 * clouds there are.
 *
 * Exit codes: 0 stopped as asked, 1 could not start, 64 wrong flags, 70 a bug (restart me), 75 another daemon lives,
 * 78 wrong configuration (sysexits.h).
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { createProvider, type OpenProvider, providerNames } from '../../providers/index.ts';
import { decorate } from '../cloud/decorate.ts';
import { limited } from '../cloud/limited.ts';
import { judgeTargets } from '../core/targets.ts';
import { veth } from '../datapath/veth.ts';
import { type Failpoint, failpointIn } from '../kernel/failpoint.ts';
import { createKernel } from '../kernel/kernel.ts';
import { accessOf } from '../kube/access.ts';
import { systemClock, systemEntropy } from '../ports/clock.ts';
import type { BoundPods } from '../ports/pods.ts';
import type { Provider } from '../ports/provider.ts';
import { EXIT_BREACH } from './breach.ts';
import { type CheckedConfig, type Config, parseConfig, poolsOf } from './config.ts';
import { Daemon, EXIT_LOCKED } from './daemon.ts';
import { JournalLockedError } from './journal.ts';
import { openLog } from './logs.ts';
import { Metrics } from './metrics.ts';
import { faultsOfPlaces } from './places.ts';
import { SocketTakenError } from './server.ts';
import { VERSION } from './version.ts';

const EXIT = { ok: 0, failed: 1, usage: 64, locked: EXIT_LOCKED, config: 78 } as const;
const CONFIG_PATH = '/etc/underway/underwayd.json';
/** Metadata and one Describe answer in far less, or there is no instance. */
const LOOK_TIMEOUT_MS = 2_000;

const HELP = `underwayd: gives the pods of this node addresses of the cloud's own VPC.

  --config FILE       JSON; default ${CONFIG_PATH}, which may be missing
  --set KEY=VALUE     one key over the file, such as --set pool.targets.floor=16; may be repeated
  --print-config      print the effective configuration, every default included, and exit; on an instance, also (on
                      standard error) what the targets come to there
  --help, --version

SIGHUP reads the configuration again; SIGTERM stops.
`;

interface Flags {
  readonly config: string | undefined;
  readonly sets: readonly string[];
  readonly does: 'run' | 'print-config' | 'help' | 'version';
}

function flagsIn(args: readonly string[]): Flags {
  const { values } = parseArgs({
    args: [...args],
    options: {
      config: { type: 'string' },
      set: { type: 'string', multiple: true },
      'print-config': { type: 'boolean' },
      help: { type: 'boolean' },
      version: { type: 'boolean' },
    },
  });
  const does = values.help ? 'help' : values.version ? 'version' : values['print-config'] ? 'print-config' : 'run';
  return { config: values.config, sets: values.set ?? [], does };
}

/** The file that was named must be there; the default one need not be. */
function readConfig({ config: named, sets }: Flags): CheckedConfig {
  let file: string | undefined;
  try {
    file = readFileSync(named ?? CONFIG_PATH, 'utf8');
  } catch (error) {
    const missing = Error.isError(error) && 'code' in error && error.code === 'ENOENT';
    const why = Error.isError(error) ? error.message : error;
    if (named !== undefined || !missing) return { errors: [`cannot read ${named ?? CONFIG_PATH}: ${why}`] };
  }
  return parseConfig({ file, sets, providers: providerNames });
}

async function main(): Promise<void> {
  const flags = flagsOrExit();
  if (flags.does === 'help') return void process.stdout.write(HELP);
  if (flags.does === 'version') return void process.stdout.write(`underwayd ${VERSION}\n`);
  const checked = readConfig(flags);
  if ('errors' in checked) {
    if (flags.does === 'print-config') printWithoutCluster(flags);
    return sayAndExit(checked.errors, EXIT.config);
  }
  if (flags.does === 'print-config') {
    process.stdout.write(`${JSON.stringify(checked.config, null, 2)}\n`);
    return sayTargets(checked.config);
  }
  const faults = faultsOfPlaces(checked.config);
  if (faults.length > 0) return sayAndExit(faults, EXIT.config);
  await run(flags, checked.config);
}

/** The one key that has no default: whoever has not chosen it yet is shown all the others. */
function printWithoutCluster(flags: Flags): void {
  const checked = readConfig({ ...flags, sets: [...flags.sets, 'cluster=unset'] });
  if ('errors' in checked) return;
  process.stdout.write(`${JSON.stringify({ ...checked.config, cluster: null }, null, 2)}\n`);
}

/** A person's machine has no instance metadata: it is told so instead of an effect. */
async function sayTargets(config: Config): Promise<void> {
  const provider = await openProvider(config, () => undefined);
  const asked = { signal: new AbortController().signal, timeoutMs: LOOK_TIMEOUT_MS };
  const answer = await provider.describeNode(asked).finally(() => provider.close());
  for (const pool of poolsOf(config)) {
    const { capabilities } = provider;
    const verdict = answer.ok ? judgeTargets({ pool, limits: answer.value.limits, capabilities }) : undefined;
    const sentence = verdict?.sentence ?? 'what they come to depends on the instance, which is not known here';
    const notes = verdict?.accepted === true ? verdict.warnings.map((warning) => `warning: ${warning}`) : [];
    const cannot = verdict?.accepted === false ? 'cannot be met: ' : '';
    for (const line of [`targets: ${cannot}${sentence}`, ...notes]) process.stderr.write(`underwayd: ${line}\n`);
  }
}

function flagsOrExit(): Flags {
  try {
    return flagsIn(process.argv.slice(2));
  } catch (error) {
    return sayAndExit([Error.isError(error) ? error.message : String(error), 'see --help'], EXIT.usage);
  }
}

function sayAndExit(sentences: readonly string[], code: number): never {
  for (const sentence of sentences) process.stderr.write(`underwayd: ${sentence}\n`);
  process.exit(code);
}

async function run(flags: Flags, config: Config): Promise<void> {
  const { cluster, nodeName, netns } = config;
  const log = openLog({ level: config.logLevel, base: { cluster, node: nodeName } });
  const metrics = new Metrics(VERSION);
  log.info({ version: VERSION, pid: process.pid, config }, 'starting');
  // Whatever is thrown where nobody waits for it is a bug; the state it left is not to be trusted.
  process.on('uncaughtException', (error) => {
    log.fatal({ err: error }, 'the daemon ends: a new one starts from journal, kernel and cloud');
    process.exit(EXIT_BREACH);
  });
  const failpoint = failpointIn(process.env.UNDERWAY_FAILPOINT);
  const kernel = createKernel({
    ...(netns !== null && { netns }),
    ...(failpoint && { failpoint }),
  });
  const provider = await openProvider(config, (code) => {
    metrics.unknownCode();
    log.warn({ code }, 'the cloud answered a code that the provider has no row for');
  });
  const pods = await openPods(config);
  if (pods === undefined)
    log.info(
      'the pods bound to this node are not watched: kubernetes.watch is off, or this is no pod and kubernetes.kubeconfig is null',
    );
  const daemon = await Daemon.start({
    config,
    kernel,
    provider: failpoint === undefined ? limited(provider) : dyingAfterAnswers(limited(provider), failpoint),
    datapath: veth,
    clock: systemClock,
    entropy: systemEntropy,
    log,
    metrics,
    ...(pods && { pods }),
    exit: (code) => process.exit(code),
    ...(failpoint && { failpoint }),
  }).catch((error: unknown) => {
    const text = Error.isError(error) ? error.message : String(error);
    log.fatal({ why: text }, 'cannot start');
    const another = error instanceof JournalLockedError || error instanceof SocketTakenError;
    return sayAndExit([text], another ? EXIT.locked : EXIT.failed);
  });
  process.on('SIGHUP', () => {
    const next = readConfig(flags);
    const refused = 'errors' in next ? next.errors.join('; ') : daemon.reload(next.config);
    if (refused === undefined) log.info('configuration taken');
    else log.error({ why: refused }, 'configuration refused: the old one stays');
  });
  const stop = (signal: string) => {
    log.info({ signal }, 'asked to stop');
    daemon.stop().then(async () => {
      provider.close();
      await kernel.close();
      process.exit(EXIT.ok);
    });
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
}

/** Loaded only where it is used, as the clouds are. */
async function openPods({ kubernetes, nodeName }: Config): Promise<BoundPods | undefined> {
  const { watch, kubeconfig } = kubernetes;
  const access = watch === 'off' ? undefined : accessOf({ kubeconfig, env: process.env, root: '/' });
  if (access === undefined) return undefined;
  const { podWatch } = await import('../kube/pod-watch.ts');
  const userAgent = `underwayd/${VERSION}`;
  return podWatch({ access, nodeName, userAgent, clock: systemClock, entropy: systemEntropy });
}

function openProvider({ provider }: Config, onUnknownCode: (code: string) => void): Promise<OpenProvider> {
  const { name, region, endpoint, metadataEndpoint } = provider;
  return createProvider(name as (typeof providerNames)[number], {
    ...(region !== null && { region }),
    ...(endpoint !== null && { endpoint }),
    ...(metadataEndpoint !== null && { metadataEndpoint }),
    env: process.env,
    onUnknownCode,
  });
}

/** The cloud has done what it was asked for, and nobody has heard of it yet. */
const dyingAfterAnswers = (provider: Provider, failpoint: Failpoint): Provider =>
  decorate(provider, async (action, call) => {
    const answer = await call();
    failpoint(`answer-${action}`);
    return answer;
  });

await main();
