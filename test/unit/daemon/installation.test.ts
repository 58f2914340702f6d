/** What a daemon puts where a runtime looks, and when; and `underway install`, which does the same by hand. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TestNode } from './harness.ts';

const CLI = fileURLToPath(new URL('../../../src/cli/main.ts', import.meta.url));
const LIMIT_MS = 30_000;
/** Says who it is as the binary does. */
const ONE = '#!/bin/sh\necho Underway CNI plugin >&2\n';

let node: TestNode;
let confDir: string;
let binDir: string;
let binary: string;
beforeEach(() => {
  node = new TestNode();
  [confDir, binDir, binary] = ['net.d', 'bin', 'built'].map((name) => join(node.folder, name)) as [
    string,
    string,
    string,
  ];
  writeFileSync(binary, ONE, { mode: 0o755 });
});
afterEach(() => node.close());

const cni = () => ({ cni: { confDir, binDir, binary } });
const conflist = () => join(confDir, '10-underway.conflist');
const told = (msg: string) => node.log.filter((line) => line.msg === msg);

/** Nobody says which instance this is: a daemon without a journal cannot serve. */
function holdUp(): () => void {
  const real = node.provider.describeNode.bind(node.provider);
  node.provider.describeNode = async () => ({
    ok: false,
    failure: { kind: 'transient', source: 'metadata', code: 'MetadataUnreachable', message: 'no answer' },
  });
  return () => {
    node.provider.describeNode = real;
  };
}

describe('a daemon', () => {
  test(
    'puts the binary there at once, the list when it can serve, and takes neither away',
    async () => {
      const letGo = holdUp();
      await node.start(cni());
      expect(readFileSync(join(binDir, 'underway'), 'utf8')).toBe(ONE);
      expect(readFileSync(join(binDir, 'underway.conf'), 'utf8')).toBe(
        `socket=${node.socket}\nstate=${node.stateDir}\n`,
      );
      await node.until(async () => (await node.get('/readyz')).text.includes('[-]facts'));
      expect(existsSync(conflist())).toBe(false);
      letGo();
      await node.until(() => existsSync(conflist()), 10_000);
      expect(JSON.parse(readFileSync(conflist(), 'utf8')).plugins).toMatchObject([{ type: 'underway' }]);
      await node.daemon?.stop();
      expect(readdirSync(confDir)).toEqual(['10-underway.conflist']);
      expect(readdirSync(binDir).sort()).toEqual(['underway', 'underway.conf']);
    },
    LIMIT_MS,
  );

  test(
    'writes nothing again after a restart, but a binary that is another',
    async () => {
      await node.serve(cni());
      const before = statSync(conflist());
      await node.daemon?.stop();
      writeFileSync(binary, '\x7fELF two');
      node.log.length = 0;
      await node.serve(cni());
      expect(statSync(conflist())).toMatchObject({ ino: before.ino, mtimeMs: before.mtimeMs });
      expect(told('installed')).toMatchObject([{ path: join(binDir, 'underway') }]);
      expect(readFileSync(join(binDir, 'underway'), 'utf8')).toBe('\x7fELF two');
    },
    LIMIT_MS,
  );

  test(
    'writes nothing where the configuration names no folder',
    async () => {
      await node.serve();
      expect([existsSync(confDir), existsSync(binDir)]).toEqual([false, false]);
    },
    LIMIT_MS,
  );

  test(
    'puts a binary back that somebody removed, and not the list',
    async () => {
      await node.serve(cni());
      rmSync(binDir, { recursive: true });
      rmSync(conflist());
      // Its second look at the spooled DELs, two seconds after the start, is the first of these too.
      await node.until(() => existsSync(join(binDir, 'underway')), 10_000);
      expect(readdirSync(confDir)).toEqual([]);
    },
    LIMIT_MS,
  );

  test(
    'that cannot write says so, serves who comes all the same, and writes as soon as it can',
    async () => {
      writeFileSync(binDir, 'in the way');
      await node.start(cni());
      await node.until(async () => (await node.get('/readyz')).text.includes('[+]addresses'));
      expect((await node.get('/readyz')).text).toMatch(/\[-\]cni \S+\/bin\/underway.* cannot be written: E/);
      expect(told('a runtime does not find this network plugin')).toHaveLength(1);
      expect(existsSync(conflist())).toBe(false);
      expect(await node.add('c1')).toMatch(/^10\./);
      rmSync(binDir);
      await node.until(async () => (await node.get('/readyz')).status === 200, 15_000);
      expect([existsSync(conflist()), existsSync(join(binDir, 'underway'))]).toEqual([true, true]);
    },
    LIMIT_MS,
  );

  test(
    'puts its list back at its next start where somebody removed or changed it, and warns of what it replaced',
    async () => {
      await node.serve(cni());
      await node.daemon?.stop();
      rmSync(conflist());
      await node.serve(cni());
      expect(existsSync(conflist())).toBe(true);
      const replaced = () => node.log.filter(({ why }) => /conflist was another, and was replaced/.test(String(why)));
      expect(replaced()).toEqual([]);
      await node.daemon?.stop();
      writeFileSync(conflist(), '{"name":"mine"}');
      await node.serve(cni());
      expect(replaced()).toHaveLength(1);
      expect(JSON.parse(readFileSync(conflist(), 'utf8')).name).toBe('underway');
    },
    LIMIT_MS,
  );

  test(
    'warns once that hostPort does nothing where there is no portmap',
    async () => {
      await node.serve(cni());
      const said = node.log.filter(({ why }) =>
        /^portmap is not in .* hostPort does nothing: put it/.test(String(why)),
      );
      expect(said).toMatchObject([{ level: 'warn' }]);
      await node.daemon?.stop();
    },
    LIMIT_MS,
  );

  test(
    'says which network the runtime takes instead',
    async () => {
      mkdirSync(confDir);
      writeFileSync(join(confDir, '05-other.conflist'), '{}');
      await node.serve(cni());
      expect(node.log.map(({ why }) => why)).toContainEqual(expect.stringMatching(/05-other\.conflist sorts before/));
    },
    LIMIT_MS,
  );
});

describe('underway install', () => {
  interface Said {
    readonly code: number | null;
    readonly stdout: string;
    readonly stderr: string;
  }

  function install(...args: readonly string[]): Promise<Said> {
    const places = ['--bin-dir', binDir, '--conf-dir', confDir, '--binary', binary];
    const daemon = ['--socket', node.socket, '--state-dir', node.stateDir];
    const child = spawn(process.execPath, [CLI, 'install', ...places, ...daemon, ...args]);
    const said = { stdout: '', stderr: '' };
    for (const stream of ['stdout', 'stderr'] as const)
      child[stream].setEncoding('utf8').on('data', (text) => {
        said[stream] += text;
      });
    return new Promise((resolve) => child.on('close', (code) => resolve({ code, ...said })));
  }

  test(
    'says what it wrote, and the second time that nothing had to be',
    async () => {
      await node.serve();
      mkdirSync(binDir);
      writeFileSync(join(binDir, 'portmap'), '');
      const places = [join(binDir, 'underway.conf'), join(binDir, 'underway'), conflist()];
      const lines = (word: string) => places.map((path) => `${word.padEnd(9)} ${path}\n`).join('');
      // A portmap that says nothing is taken for an old one.
      const said = (word: string) =>
        expect.stringMatching(new RegExp(`^${lines(word)}warning: portmap does not speak .*\n$`));
      expect(await install()).toEqual({ code: 0, stdout: said('written'), stderr: '' });
      expect(JSON.parse(readFileSync(conflist(), 'utf8')).plugins).toMatchObject([{}, { type: 'portmap' }]);
      expect(await install()).toEqual({ code: 0, stdout: said('unchanged'), stderr: '' });
    },
    LIMIT_MS,
  );

  test(
    'waits for a daemon that starts, and tells the runtime nothing before',
    async () => {
      const letGo = holdUp();
      await node.start();
      const early = await install('--wait', '0');
      expect(early).toMatchObject({ code: 1, stdout: expect.stringContaining(`${binDir}/underway\n`) });
      expect(early.stderr).toMatch(
        /^underway: the daemon at \S+ cannot serve \(.*metadata.*\), so the runtime is not told/,
      );
      expect(existsSync(confDir)).toBe(false);
      const asked = install('--wait', '30');
      letGo();
      expect(await asked).toMatchObject({
        code: 0,
        stdout: expect.stringMatching(/^warning: portmap is not in \S+bin, /m),
      });
      expect(existsSync(conflist())).toBe(true);
    },
    LIMIT_MS,
  );

  test.each<[string, readonly string[], number, RegExp]>([
    ['nobody listens', ['--wait', '0'], 1, /cannot serve \(connect ENOENT \S+\), .* start it and see its log/],
    ['no binary', ['--binary', '/nowhere/underway'], 1, /CNI binary \/nowhere\/underway is not there: .*build:shim/],
    ['no program', ['--binary', '/etc/passwd'], 1, /passwd is not Underway's CNI binary \(it cannot .* EACCES\): name/],
    [
      'another program',
      ['--binary', '/bin/true'],
      1,
      /^underway: \/bin\/true is not .* \(it is another program\): name/,
    ],
    [
      'a folder that is a file',
      ['--bin-dir', '/etc/hostname'],
      1,
      /^underway: \/etc\/hostname\/underway\S* cannot be /,
    ],
    [
      'a relative folder',
      ['--conf-dir', 'net.d'],
      64,
      /--conf-dir must be an absolute path; it is net\.d: see .*install --help/,
    ],
    ['no number', ['--wait', 'long'], 64, /--wait must be a whole number from 0 to 3600; it is long/],
    ['no choice', ['--portmap', 'yes'], 64, /--portmap must be one of auto, always, never; it is yes/],
    ['another flag', ['--fast'], 64, /Unknown option '--fast'/],
  ])(
    '%s: a sentence and an exit code',
    async (_, args, code, says) => {
      const said = await install(...args);
      expect(said).toMatchObject({ code, stderr: expect.stringMatching(says) });
      expect(existsSync(confDir)).toBe(false);
      if (args[0] === '--binary') expect(existsSync(binDir)).toBe(false);
    },
    LIMIT_MS,
  );
});
