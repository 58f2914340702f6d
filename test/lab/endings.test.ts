/**
 * However a demo or a `lab up` is ended before its time, nothing stays behind, and the exit code says what ended it. Every
 * demo has the same name: what else runs one is here too.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { NETNS_FOLDER } from '../../src/lab/namespaces.ts';
import { defaultStateRoot } from '../../src/lab/privilege.ts';
import { type ProcessRecord, processRecord } from '../../src/lab/processes.ts';
import { labFolder, readJson, recordedDaemons } from '../../src/lab/state-folder.ts';
import { labName, until } from './pod-lab.ts';

const ROOT = join(import.meta.dirname, '../..');
const CLI = join(ROOT, 'src/cli/main.ts');
const DEMO_PROGRAM = join(ROOT, 'src/lab/demo/main.ts');
const LIMIT_MS = 60_000;
const DEMO = 'uwdemo';
/** Where the lab of one without the rights of root is. */
const CAPLESS_ROOT = '/tmp/underway-lab-0';

const started: ChildProcess[] = [];
afterEach(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL');
  spawnSync(process.execPath, [CLI, 'lab', 'down', '--name', DEMO]);
});

/** As npm starts the script: what it forwards reaches the shell, and has to reach the demo. */
function npmRunDemo(words: string, before: readonly string[] = []): ChildProcess {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: { demo: string } };
  const path = `${dirname(process.execPath)}${delimiter}${process.env.PATH}`;
  const [program = '', ...args] = [...before, 'sh', '-c', `${scripts.demo} ${words}`];
  const child = spawn(program, args, { cwd: ROOT, env: { ...process.env, PATH: path } });
  started.push(child);
  return child;
}

interface Said {
  text: string;
}

function listen(child: ChildProcess): Said {
  const said = { text: '' };
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (text) => {
      said.text += text;
    });
  return said;
}

const exitOf = (child: ChildProcess): Promise<number | string | null> =>
  new Promise((resolve) => child.on('close', (code, signal) => resolve(code ?? signal)));

function left(name: string, root = defaultStateRoot()) {
  const namespaces = existsSync(NETNS_FOLDER) ? readdirSync(NETNS_FOLDER) : [];
  const { path, log } = labFolder(root, name);
  return {
    namespaces: namespaces.filter((file) => file.startsWith(`${name}-`)),
    files: [path, log].filter((file) => existsSync(file)),
  };
}

const NOTHING = { namespaces: [], files: [] };

const aliveOf = (records: readonly ProcessRecord[]) => records.filter(({ pid }) => processRecord(pid) !== undefined);

test.each([
  ['SIGTERM', 143, 'pods through the CNI binary'],
  ['SIGHUP', 129, 'A burst'],
  ['SIGINT', 130, 'in the middle of a burst'],
] as const)(
  'the demo, %s',
  async (signal, code, at) => {
    const child = npmRunDemo('--fast');
    const exit = exitOf(child);
    const said = listen(child);
    await until(`the demo is at: ${at}`, async () => said.text.includes(at));
    const daemons = recordedDaemons(labFolder(defaultStateRoot(), DEMO));
    child.kill(signal);
    expect(await exit).toBe(code);
    expect(said.text).toMatch(/\n\ninterrupted; nothing left behind\n$/);
    expect(left(DEMO)).toEqual(NOTHING);
    expect(daemons.length).toBeGreaterThan(0);
    expect(aliveOf(daemons)).toEqual([]);
  },
  LIMIT_MS,
);

test(
  'the demo, whose reader has gone (| head)',
  async () => {
    const child = npmRunDemo('--fast');
    const exit = exitOf(child);
    let complaint = '';
    child.stderr?.setEncoding('utf8').on('data', (text) => {
      complaint += text;
    });
    child.stdout?.once('data', () => child.stdout?.destroy());
    expect(await exit).toBe(141);
    expect(complaint).toBe('');
    expect(left(DEMO)).toEqual(NOTHING);
  },
  LIMIT_MS,
);

test(
  'the demo: wrong words, a file that cannot be written, and a lab of its name that is up already',
  () => {
    const run = (program: string) => (args: readonly string[]) => {
      const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], { encoding: 'utf8' });
      return { code: status, stdout, stderr };
    };
    const [demo, underway] = [run(DEMO_PROGRAM), run(CLI)];
    expect(demo(['--bogus'])).toMatchObject({ code: 64, stderr: "demo: Unknown option '--bogus': see --help\n" });
    expect(demo(['--json', '/nowhere/figures.json'])).toMatchObject({
      code: 64,
      stderr: expect.stringMatching(/^demo: --json \/nowhere\/figures\.json cannot be written: ENOENT/),
    });
    const named = ['--name', DEMO];
    expect(underway(['lab', 'up', '--fast', '--no-daemons', '--nodes', '0', '--vms', '0', ...named]).code).toBe(0);
    expect(demo(['--fast'])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^demo: a lab named uwdemo is up already \(pid \d+\): .* --name uwdemo\n$/),
    });
    expect(underway(['lab', 'down', ...named]).stdout).toMatch(/^left behind: 0 /);
  },
  LIMIT_MS,
);

test(
  'a demo that is kept: the call of CNI that it prints works when pasted, and Ctrl-C is its good end',
  async () => {
    const child = npmRunDemo('--fast --keep');
    const exit = exitOf(child);
    const said = listen(child);
    await until('it stays up', async () => said.text.includes('CNI_COMMAND=DEL'), LIMIT_MS);
    expect(said.text).toContain('12 of 60 shown; all of them in the file of --json FILE');
    const [, printed = ''] = said.text.split('by hand:\n');
    const { stdout, stderr, status } = spawnSync('sh', ['-e', '-c', printed], { encoding: 'utf8' });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const [, ip = 'no address'] = /"address":\s*"(10\.[\d.]+)\/32"/.exec(stdout) ?? [];
    expect(stdout.split('\n').find((line) => line.startsWith('eth0'))).toContain(ip);
    child.kill('SIGINT');
    expect(await exit).toBe(0);
    expect(said.text).toContain('All of it held');
    expect(left(DEMO)).toEqual(NOTHING);
  },
  2 * LIMIT_MS,
);

test(
  'a command inside an instance hears what its `lab exec` is told, and its exit code is the answer',
  async () => {
    const name = labName();
    const lab = (verb: string, ...words: readonly string[]) => [CLI, 'lab', verb, '--name', name, ...words];
    expect(spawnSync(process.execPath, lab('up', '--fast', '--nodes', '0')).status).toBe(0);
    try {
      for (const [signal, code] of [
        ['INT', 7],
        ['TERM', 8],
      ] as const) {
        const script = `trap 'exit ${code}' ${signal}; echo ready; while :; do sleep 0.1; done`;
        const child = spawn(process.execPath, lab('exec', 'vm-1', '--', 'sh', '-c', script));
        started.push(child);
        const exit = exitOf(child);
        const said = listen(child);
        await until('the command runs', async () => said.text === 'ready\n');
        child.kill(`SIG${signal}`);
        expect(await exit).toBe(code);
      }
    } finally {
      spawnSync(process.execPath, lab('down'));
    }
  },
  LIMIT_MS,
);

/** Root of a container: uid 0 without the capabilities. */
const CAPLESS = ['setpriv', '--inh-caps=-sys_admin', '--bounding-set=-sys_admin'];
const canBeCapless =
  process.getuid?.() === 0 &&
  spawnSync(CAPLESS[0] ?? '', [...CAPLESS.slice(1), 'unshare', '--user', '--map-root-user', '--net', '--mount', 'true'])
    .status === 0;

(canBeCapless ? test : test.skip)(
  'root without CAP_SYS_ADMIN has its lab in a user namespace, where a signal ends it as well',
  async () => {
    const child = npmRunDemo('--fast', CAPLESS);
    const exit = exitOf(child);
    const said = listen(child);
    await until('the demo adds pods', async () => said.text.includes('pods through the CNI binary'));
    const lab = readJson<ProcessRecord>(labFolder(CAPLESS_ROOT, DEMO).record);
    expect(processRecord(lab?.pid ?? 0)).toBeDefined();
    child.kill('SIGTERM');
    expect(await exit).toBe(143);
    expect(said.text).toContain('interrupted; nothing left behind');
    expect(left(DEMO, CAPLESS_ROOT)).toEqual(NOTHING);
    expect(processRecord(lab?.pid ?? 0)).toBeUndefined();

    const name = labName();
    const cli = (verb: string, ...words: readonly string[]) => {
      const [program = '', ...args] = [...CAPLESS, process.execPath, CLI, 'lab', verb, '--name', name, ...words];
      const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', timeout: LIMIT_MS });
      return { code: status, stdout, stderr };
    };
    const up = cli('up', '--fast', '--no-daemons', '--nodes', '0');
    expect(up).toMatchObject({ code: 0, stdout: expect.stringContaining(`in ${CAPLESS_ROOT}/${name}\n`) });
    expect(cli('exec', 'vm-1', '--', 'true')).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(cli('down')).toMatchObject({ code: 0, stdout: expect.stringMatching(/^left behind: 0 /) });
  },
  LIMIT_MS,
);

test(
  '`lab up`, interrupted while it comes up; and refused where there can be none: no file stays',
  async () => {
    const name = labName();
    const child = spawn(process.execPath, [CLI, 'lab', 'up', '--fast', '--nodes', '2', '--name', name]);
    started.push(child);
    const exit = exitOf(child);
    const said = listen(child);
    await until('the lab has begun', async () => existsSync(labFolder(defaultStateRoot(), name).record));
    child.kill('SIGINT');
    expect(await exit).toBe(130);
    expect(said.text).toBe('interrupted; nothing left behind\n');
    expect(left(name)).toEqual(NOTHING);

    const without = ['--inh-caps=-all', '--bounding-set=-all', process.execPath, CLI, 'lab', 'up', '--name', name];
    const forbidden = 'echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv "$@"';
    const refused = spawnSync('unshare', ['--user', '--map-root-user', 'sh', '-c', forbidden, 'sh', ...without], {
      encoding: 'utf8',
    });
    expect(refused).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^underway: It makes network namespaces\. Run it as root .*CAP_SYS_ADMIN/),
    });
    expect(left(name, '/tmp/underway-lab-0')).toEqual(NOTHING);
  },
  LIMIT_MS,
);
