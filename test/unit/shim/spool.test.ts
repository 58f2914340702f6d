/** DEL without an answer: kept for the daemon, and done all the same. */
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { canMount, mountDisk, unmountDisk } from '../daemon/small-disk.ts';
import { CONFIG, errorIn, refuse, Stand, shimBinary, understood } from './stand.ts';

const binary = shimBinary();
// Without a C compiler there is no binary to test; `npm run build:shim` says how to get one.
const describeShim = binary === undefined ? describe.skip : describe;

let stand: Stand;
beforeEach(() => {
  stand = new Stand(binary ?? '');
});
afterEach(() => stand.close());

describeShim('DEL', () => {
  const spooled = () => readdirSync(join(stand.state, 'del'));
  /** The names without the digests by which two requests of one attachment differ. */
  const spooledFor = () => spooled().map((name) => name.replace(/@[0-9a-f]{16}\.json$/, ''));

  test('is kept for a daemon that is away, and succeeds', async () => {
    const run = await stand.verb('DEL', { CNI_NETNS: '' });
    expect(run).toMatchObject({ status: 0, stdout: '', stderr: '' });
    expect(run.ms).toBeGreaterThan(900);
    expect(run.ms).toBeLessThan(2_500);
    expect(spooledFor()).toEqual(['c1@eth0']);
    const file = join(stand.state, 'del', spooled()[0] ?? '');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(statSync(join(stand.state, 'del')).mode & 0o777).toBe(0o700);
    expect(understood(readFileSync(file, 'utf8'))).toMatchObject({
      verb: 'DEL',
      attachment: { network: 'underway', containerId: 'c1', ifname: 'eth0' },
    });
    expect(JSON.parse(readFileSync(file, 'utf8')).config).toBe(CONFIG);
  });

  test('one file an attachment, also for names that a dash would mix up; a repeat replaces its own', async () => {
    stand.configure('deadline_ms=30');
    for (const [id, ifname] of [
      ['a-b', 'c'],
      ['a', 'b-c'],
      ['a', 'b-c'],
    ] as const) {
      expect(await stand.verb('DEL', { CNI_CONTAINERID: id, CNI_IFNAME: ifname })).toHaveProperty('status', 0);
    }
    expect(spooledFor().sort()).toEqual(['a-b@c', 'a@b-c']);
  });

  test('one of another network, or that cannot be read, replaces none', async () => {
    stand.configure('deadline_ms=300');
    for (const config of [CONFIG, CONFIG.replace('"name":"underway"', '"name":"other"'), '{', CONFIG])
      expect(await stand.verb('DEL', {}, config)).toHaveProperty('status', 0);
    expect(spooledFor()).toEqual(['c1@eth0', 'c1@eth0', 'c1@eth0']);
    const read = spooled().map((name) => JSON.parse(readFileSync(join(stand.state, 'del', name), 'utf8')).config);
    expect(read.filter((config) => config === CONFIG)).toHaveLength(1);
  });

  test('the longest names have a file too', async () => {
    stand.configure('deadline_ms=30');
    const names = { CNI_CONTAINERID: 'c'.repeat(128), CNI_IFNAME: 'i'.repeat(15) };
    expect(await stand.verb('DEL', names)).toHaveProperty('status', 0);
    expect(spooledFor()).toEqual([`${names.CNI_CONTAINERID}@${names.CNI_IFNAME}`]);
  });

  test.each<[string, (socket: import('node:net').Socket) => void]>([
    ['never answers', () => undefined],
    ['dies of it', (socket) => socket.once('data', () => socket.destroy())],
    ['speaks another language', (socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n\r\n')],
  ])('is kept when what listens %s', async (_, connected) => {
    stand.configure('deadline_ms=300');
    await stand.serveRaw(connected);
    expect(await stand.verb('DEL')).toMatchObject({ status: 0, stdout: '' });
    expect(spooledFor()).toEqual(['c1@eth0']);
  });

  test('is not kept when the daemon answered, whatever it said', async () => {
    await stand.serve((_, response) => refuse(response, '{"code":11,"msg":"x"}'));
    expect(await stand.verb('DEL')).toHaveProperty('status', 1);
    expect(() => spooled()).toThrow();
  });

  test('fails with the reason when it cannot be kept either', async () => {
    stand.configure('deadline_ms=30');
    writeFileSync(stand.state, 'a file in the way');
    const error = errorIn(await stand.verb('DEL'));
    expect(error.code).toBe(5);
    expect(error.msg).toContain(`cannot be kept for it in ${stand.state}/del (ENOTDIR`);
    expect(error.msg).not.toMatch(/not found|no such file/i);
  });

  (canMount() ? test : test.skip)('asks for space where a full disk keeps it from being written', async () => {
    stand.configure('deadline_ms=30');
    mountDisk(stand.state, '64k');
    try {
      mkdirSync(join(stand.state, 'del'));
      writeFileSync(join(stand.state, 'ballast'), Buffer.alloc(65_536));
      expect(errorIn(await stand.verb('DEL')).msg).toMatch(/\(ENOSPC: disk full\): free space there; the runtime/);
    } finally {
      unmountDisk(stand.state);
    }
  });

  test('leaves no half file when the name is taken by a folder', async () => {
    stand.configure('deadline_ms=30');
    expect(await stand.verb('DEL')).toHaveProperty('status', 0);
    const [name = ''] = spooled();
    rmSync(join(stand.state, 'del', name));
    mkdirSync(join(stand.state, 'del', name));
    expect(errorIn(await stand.verb('DEL'))).toMatchObject({ code: 5 });
    expect(spooled()).toEqual([name]);
  });

  test('an error never holds the words that containerd takes for success', async () => {
    const msg = 'ENI not found; InvalidID.NotFound: Not Found; open /x: no such file or directory; NOT FOUNDnot found';
    await stand.serve((_, response) => refuse(response, JSON.stringify({ code: 11, msg })));
    const error = errorIn(await stand.verb('DEL'));
    expect(error.msg).not.toMatch(/not found|no such file or directory/i);
    expect(error.msg).toContain('ENI not there');
    expect(errorIn(await stand.verb('ADD')).msg).toBe(msg);
  });
});
