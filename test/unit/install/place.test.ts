import { spawn } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  watch,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BinaryPlace, placeBinary } from '../../../src/install/binary.ts';
import { type ConflistPlace, placeConflist } from '../../../src/install/conflist.ts';
import { placeNetworkd } from '../../../src/install/networkd.ts';
import { placeFile } from '../../../src/install/place.ts';
import { SUPPORTED_VERSIONS } from '../../../src/protocol/version.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'underway-install-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const modeOf = (path: string): number => statSync(path).mode & 0o7777;

describe('a file', () => {
  const place = (content = 'one', mode = 0o644) => placeFile({ path: join(folder, 'a/b.conf'), content, mode });
  const path = () => join(folder, 'a/b.conf');

  test('is written with its folder, and then left alone', () => {
    expect(place()).toEqual({ path: path(), outcome: 'written' });
    const before = statSync(path());
    expect(place()).toEqual({ path: path(), outcome: 'unchanged' });
    expect(statSync(path())).toMatchObject({ ino: before.ino, mtimeMs: before.mtimeMs });
    expect(modeOf(path())).toBe(0o644);
    expect(readdirSync(join(folder, 'a'))).toEqual(['b.conf']);
  });

  test.each<[string, () => void]>([
    ['another text', () => writeFileSync(path(), 'two')],
    ['another text of the same length', () => writeFileSync(path(), 'eno')],
    ['another mode', () => chmodSync(path(), 0o600)],
    [
      'a link to a file that is as wanted',
      () => {
        copyFileSync(path(), join(folder, 'copy'));
        rmSync(path());
        symlinkSync(join(folder, 'copy'), path());
      },
    ],
  ])('%s is replaced', (_, change) => {
    place();
    change();
    expect(place().outcome).toBe('written');
    expect([readFileSync(path(), 'utf8'), modeOf(path())]).toEqual(['one', 0o644]);
    expect(place().outcome).toBe('unchanged');
  });

  test('whatever umask its writer has', () => {
    const umask = process.umask(0o077);
    try {
      place('one', 0o755);
    } finally {
      process.umask(umask);
    }
    expect(modeOf(path())).toBe(0o755);
  });

  test('comes by a rename within its folder, from a name that no runtime reads', async () => {
    place();
    const heard: string[] = [];
    const watcher = watch(join(folder, 'a'), (event, name) => void heard.push(`${event} ${name}`));
    place('two');
    for (let n = 0; n < 100 && !heard.some((line) => line.endsWith(' b.conf')); n++)
      await new Promise((resolve) => setTimeout(resolve, 10));
    watcher.close();
    const drafts = heard.map((line) => line.split(' ')[1] ?? '').filter((name) => name !== 'b.conf');
    expect(drafts.length).toBeGreaterThan(0);
    expect(drafts.every((name) => /^\.b\.conf\.[0-9a-f]{12}\.tmp$/.test(name))).toBe(true);
    // The thing itself is only ever moved there, never written to.
    expect(new Set(heard.filter((line) => line.endsWith(' b.conf')))).toEqual(new Set(['rename b.conf']));
  });

  test('a program that runs is replaced and runs on', async () => {
    const program = join(folder, 'program');
    copyFileSync('/bin/sleep', program);
    chmodSync(program, 0o755);
    const child = spawn(program, ['60'], { stdio: 'ignore' });
    try {
      await new Promise((resolve) => child.once('spawn', resolve));
      expect(placeFile({ path: program, content: 'new', mode: 0o755 }).outcome).toBe('written');
      expect([child.exitCode, child.signalCode]).toEqual([null, null]);
    } finally {
      child.kill('SIGKILL');
    }
  });

  test('one that cannot be written says so and leaves no draft; one that died long ago has its draft removed', () => {
    place();
    rmSync(path());
    mkdirSync(path());
    expect(() => place()).toThrow(new RegExp(`^${path()} cannot be written: E`));
    expect(readdirSync(join(folder, 'a'))).toEqual(['b.conf']);
    rmSync(path(), { recursive: true });
    const [old, fresh] = ['.b.conf.0123456789ab.tmp', '.b.conf.ba9876543210.tmp'].map((name) =>
      join(folder, 'a', name),
    );
    for (const draft of [old, fresh]) writeFileSync(draft ?? '', 'half');
    utimesSync(old ?? '', 1, 1);
    place();
    expect(readdirSync(join(folder, 'a')).sort()).toEqual(['.b.conf.ba9876543210.tmp', 'b.conf']);
  });
});

describe('the CNI binary', () => {
  const place = (change: Partial<BinaryPlace> = {}) => {
    const binary = join(folder, 'built');
    writeFileSync(binary, '\x7fELF');
    const defaults = { socket: '/run/underway/cni.sock', stateDir: '/var/lib/underway' };
    return placeBinary({ binDir: join(folder, 'bin'), binary, ...defaults, ...change }).map(({ outcome }) => outcome);
  };
  const settings = () => readFileSync(join(folder, 'bin/underway.conf'), 'utf8');

  test('stands alone where socket and state are the compiled-in ones', () => {
    expect(place()).toEqual(['written']);
    expect(readdirSync(join(folder, 'bin'))).toEqual(['underway']);
    expect(modeOf(join(folder, 'bin/underway'))).toBe(0o755);
    expect(place()).toEqual(['unchanged']);
  });

  test('is told other places, and what a person set beside them stays', () => {
    expect(place({ socket: '/x/cni.sock', stateDir: '/x/state' })).toEqual(['written', 'written']);
    expect(settings()).toBe('socket=/x/cni.sock\nstate=/x/state\n');
    writeFileSync(join(folder, 'bin/underway.conf'), `# slow disk\ndeadline_ms=90000\n${settings()}`);
    expect(place({ socket: '/y/cni.sock' })).toEqual(['written', 'unchanged']);
    expect(settings()).toBe('socket=/y/cni.sock\n# slow disk\ndeadline_ms=90000\n');
    expect(place()).toEqual(['written', 'unchanged']);
    expect(settings()).toBe('# slow disk\ndeadline_ms=90000\n');
  });
});

describe('the network’s configuration list', () => {
  const LEFT_OUT =
    /^portmap is not in \S+\/bin, so .* hostPort does nothing: put it there and start the daemon \(or run /;
  const placed = (change: Partial<ConflistPlace> = {}) =>
    placeConflist({ confDir: folder, binDir: null, portmap: 'auto', ...change });
  const place = (change: Partial<ConflistPlace> = {}) => JSON.parse(readFileSync(placed(change).path, 'utf8'));

  test('is for every runtime: 1.0.0 for one that knows no list of versions, else the newest that both speak', () => {
    const list = place();
    expect(list).toMatchObject({ cniVersion: '1.0.0', name: 'underway', loadOnlyInlinedPlugins: true });
    expect(list.cniVersions).toEqual(SUPPORTED_VERSIONS.filter((version) => version !== '0.3.0'));
    expect(list.plugins).toEqual([{ type: 'underway', capabilities: expect.objectContaining({ bandwidth: true }) }]);
    expect(readdirSync(folder)).toEqual(['10-underway.conflist']);
    expect(modeOf(join(folder, '10-underway.conflist'))).toBe(0o644);
  });

  test.each([
    ['auto', true, true],
    ['auto', false, false],
    ['always', false, true],
    ['never', true, false],
  ] as const)('portmap %s, its binary there: %s', (portmap, isThere, isChained) => {
    const binDir = join(folder, 'bin');
    mkdirSync(binDir);
    if (isThere) writeFileSync(join(binDir, 'portmap'), '');
    const { path, notes } = placed({ binDir, portmap });
    const types = JSON.parse(readFileSync(path, 'utf8')).plugins.map(({ type }: { readonly type: string }) => type);
    expect(types).toEqual(isChained ? ['underway', 'portmap'] : ['underway']);
    const said = isThere ? /^portmap does not speak/ : isChained ? /until it is there/ : LEFT_OUT;
    expect(notes).toEqual(portmap === 'never' ? [] : [expect.stringMatching(said)]);
  });

  test.each<[string, string, readonly string[], string]>([
    ['a new one', '["0.4.0","1.0.0","1.1.0"]', ['0.4.0', '1.0.0', '1.1.0'], '1.0.0'],
    ['one that speaks up to 1.0.0', '["0.1.0","0.3.1","0.4.0","1.0.0"]', ['0.3.1', '0.4.0', '1.0.0'], '1.0.0'],
    ['an old one', '["0.3.0","0.3.1","0.4.0"]', ['0.3.1', '0.4.0'], '0.4.0'],
    ['one whose answer means nothing', '"all"', ['0.3.1', '0.4.0', '1.0.0'], '1.0.0'],
    ['one that knows none of ours', '["2.0.0"]', ['0.3.1', '0.4.0', '1.0.0'], '1.0.0'],
  ])('asks for no version that portmap does not speak: %s', (_, said, cniVersions, cniVersion) => {
    const binary = join(folder, 'portmap');
    writeFileSync(binary, `#!/bin/sh\ntest "$CNI_COMMAND" = VERSION && echo '{"supportedVersions":${said}}'\n`);
    chmodSync(binary, 0o755);
    const { notes } = placed({ binDir: folder });
    expect(place({ binDir: folder })).toMatchObject({ cniVersions, cniVersion });
    expect(notes).toEqual(
      cniVersions.includes('1.1.0') ? [] : [expect.stringMatching(/^portmap does not speak CNI 1\.1\.0/)],
    );
  });

  test('a folder of plugins that is not known is no reason to leave hostPort out in silence', () => {
    expect(placed().notes).toEqual([
      expect.stringMatching(/without cni\.binDir.* hostPort does nothing: set portmap to/),
    ]);
  });

  test('portmap that is away for an upgrade stays chained, as it was, until it is to be chained never', () => {
    const binary = join(folder, 'bin/portmap');
    const choice = (portmap: ConflistPlace['portmap']) => placed({ binDir: join(folder, 'bin'), portmap });
    const text = () => readFileSync(join(folder, '10-underway.conflist'), 'utf8');
    mkdirSync(join(folder, 'bin'));
    writeFileSync(binary, `#!/bin/sh\necho '{"supportedVersions":["1.0.0","1.1.0"]}'\n`, { mode: 0o755 });
    expect(choice('auto')).toMatchObject({ outcome: 'written', notes: [] });
    const before = text();
    expect(JSON.parse(before).plugins).toMatchObject([{}, { type: 'portmap' }]);
    rmSync(binary);
    const kept = expect.stringMatching(/^portmap is chained .* it stays, .* drain the node and set portmap to never$/);
    expect(choice('auto')).toMatchObject({ outcome: 'unchanged', notes: [kept] });
    expect(placed()).toMatchObject({ outcome: 'unchanged', notes: [] });
    const wanted = expect.stringMatching(/^portmap is chained .* makes no pod until it is there; /);
    expect(choice('always')).toMatchObject({ outcome: 'unchanged', notes: [wanted] });
    expect(text()).toBe(before);
    expect(choice('never')).toMatchObject({ outcome: 'written', notes: [expect.stringMatching(/was replaced/)] });
    expect(JSON.parse(text()).plugins).toMatchObject([{ type: 'underway' }]);
  });

  test.each([
    ['with another plugin', (text: string) => text.replace('"plugins": [', '"plugins": [{"type":"tuning"},')],
    ['that is none', () => 'plugins: none'],
    ['of nothing', () => 'null'],
  ])('a list %s is replaced, and a warning says what to do', (_, edit) => {
    const path = join(folder, '10-underway.conflist');
    const plain = () => placed({ portmap: 'never' });
    expect(plain().notes).toEqual([]);
    const before = readFileSync(path, 'utf8');
    writeFileSync(path, edit(before));
    const replaced = new RegExp(
      `^${path} was another, and was replaced: .* sorts before it, .* cni\\.confDir to null$`,
    );
    expect(plain()).toMatchObject({ outcome: 'written', notes: [expect.stringMatching(replaced)] });
    expect(readFileSync(path, 'utf8')).toBe(before);
    expect(plain()).toMatchObject({ outcome: 'unchanged', notes: [] });
  });

  test('what sorts before it is named', () => {
    for (const name of ['10-aws.conflist', '05-x.conf', '99-loopback.conf', '10-aws.conflist.bak', '00-README'])
      writeFileSync(join(folder, name), '');
    expect(placed({ portmap: 'never' }).notes).toEqual(
      ['05-x.conf', '10-aws.conflist'].map((name) =>
        expect.stringMatching(new RegExp(`^${join(folder, name)} sorts before 10-underway.conflist`)),
      ),
    );
  });
});

test('systemd-networkd is kept from our rules, routes and links', () => {
  const outcomes = () => placeNetworkd(folder).map(({ outcome }) => outcome);
  expect(outcomes()).toEqual(['written', 'written']);
  expect(readFileSync(join(folder, 'networkd.conf.d/10-underway.conf'), 'utf8')).toContain(
    'ManageForeignRoutes=no\nManageForeignRoutingPolicyRules=no\n',
  );
  expect(readFileSync(join(folder, 'network/10-underway.network'), 'utf8')).toMatch(
    /Name=uw\*\n\n\[Link\]\nUnmanaged=yes/,
  );
  expect(outcomes()).toEqual(['unchanged', 'unchanged']);
});
