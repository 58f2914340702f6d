import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openJournal, type SqliteJournal } from '../../../src/daemon/journal.ts';
import { systemClock } from '../../../src/ports/clock.ts';
import type { RowChange } from '../../../src/ports/journal.ts';
import { canMount, mountDisk, resizeDisk, unmountDisk } from './small-disk.ts';

const loop = fileURLToPath(new URL('commit-loop.ts', import.meta.url));
let folder: string;
let path: string;
let opened: SqliteJournal[] = [];

const open = async (lockWaitMs = 0, at = path): Promise<SqliteJournal> => {
  const journal = await openJournal({ path: at, clock: systemClock, lockWaitMs });
  opened.push(journal);
  return journal;
};

const row = (n: number): RowChange => ({
  table: 'address',
  key: `10.0.1.${n}`,
  row: { ip: `10.0.1.${n}`, state: 'held', text: 'x'.repeat(40) },
});
const ips = (journal: SqliteJournal) => journal.load().rows.map(({ key }) => key);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'underway-journal-'));
  path = join(folder, 'underway.db');
});

afterEach(() => {
  for (const journal of opened) journal.close();
  opened = [];
  rmSync(folder, { recursive: true, force: true });
});

describe('commits', () => {
  test('are there after a restart, with the newest of each row and without the removed', async () => {
    const first = await open();
    expect(first.load()).toEqual({ rows: [], origin: 'fresh' });
    first.commit([row(1), row(2), row(3)]);
    first.commit([
      { table: 'address', key: '10.0.1.2', row: null },
      { ...row(3), row: { ip: '10.0.1.3', state: 'cooling' } },
    ]);
    first.close();
    const { rows, origin } = (await open()).load();
    expect(origin).toBe('intact');
    expect(rows).toEqual([row(1), { table: 'address', key: '10.0.1.3', row: { ip: '10.0.1.3', state: 'cooling' } }]);
  });

  test('are all or nothing', async () => {
    const journal = await open();
    const circular: Record<string, unknown> = {};
    circular.self = circular;
    expect(() => journal.commit([row(1), { table: 'lease', key: 'l', row: circular }])).toThrow('circular');
    journal.commit([row(2)]);
    journal.close();
    expect(ips(await open())).toEqual(['10.0.1.2']);
  });

  test('that are acknowledged outlive kill -9 at any moment', async () => {
    let acknowledged = 0;
    for (let round = 0; round < 6; round++) {
      const child = spawn(process.execPath, [loop, path], { stdio: ['ignore', 'pipe', 'inherit'] });
      const last = lastLine(child, acknowledged + 40 + 17 * round);
      acknowledged = await last;
      const journal = await open(5_000);
      const { rows, origin } = journal.load();
      expect(origin).toBe('intact');
      expect(rows.length).toBeGreaterThanOrEqual(acknowledged);
      // One more may have been written and not said.
      expect(rows.length).toBeLessThanOrEqual(acknowledged + 1);
      acknowledged = rows.length;
      journal.close();
    }
  }, 60_000);

  test('shorten the log at 8 MB', async () => {
    const journal = await open();
    const text = 'x'.repeat(100_000);
    for (let n = 0; n < 200; n++) journal.commit([{ table: 'lease', key: `l${n % 5}`, row: { n, text } }]);
    expect(statSync(`${path}-wal`).size).toBeLessThan(12 * 1024 * 1024);
    journal.checkpoint();
    expect(statSync(`${path}-wal`).size).toBe(0);
  });
});

/** Kills the child once it said `until`; the last number that it said before it died. */
async function lastLine(child: ChildProcess, until: number): Promise<number> {
  let text = '';
  child.stdout?.on('data', (chunk) => {
    text += chunk;
    if (Number(text.trimEnd().split('\n').at(-1)) >= until) child.kill('SIGKILL');
  });
  await once(child, 'close');
  return Number(text.slice(0, text.lastIndexOf('\n')).split('\n').at(-1));
}

describe('the lock', () => {
  test('keeps a second daemon out, with a sentence', async () => {
    await open();
    await expect(open(200)).rejects.toThrow(/another daemon has the journal .* did not end within 0.2 s/);
  });

  test('is handed over when the first one ends', async () => {
    const first = await open();
    first.commit([row(1)]);
    systemClock.timer(systemClock.nowMs() + 300, () => first.close());
    expect(ips(await open(5_000))).toEqual(['10.0.1.1']);
  });

  test('holds between processes and goes with a killed one', async () => {
    const child = spawn(process.execPath, [loop, path], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(child.stdout, 'data');
    await expect(open(100)).rejects.toThrow('another daemon');
    child.kill('SIGKILL');
    expect((await open(5_000)).load().origin).toBe('intact');
  }, 20_000);
});

describe('damage', () => {
  /** A journal with pages in the database and commits in the log, as a killed process leaves it. */
  async function killedJournal(): Promise<readonly RowChange[]> {
    const live = join(folder, 'live.db');
    const journal = await open(0, live);
    for (let n = 1; n <= 120; n++) journal.commit([row(n)]);
    journal.checkpoint();
    for (let n = 121; n <= 140; n++)
      journal.commit([row(n), { table: 'address', key: `10.0.1.${n - 100}`, row: null }]);
    for (const end of ['', '-wal']) copyFileSync(`${live}${end}`, `${path}${end}`);
    const fresh = await open(0, copyOf(path));
    return fresh.load().rows;
  }

  function copyOf(from: string): string {
    const to = join(mkdtempSync(join(folder, 'copy-')), 'underway.db');
    for (const end of ['', '-wal']) if (existsSync(`${from}${end}`)) copyFileSync(`${from}${end}`, `${to}${end}`);
    return to;
  }

  /** Opens a copy that was damaged: either all rows are right, or it is set aside, complete, and the new one works. */
  async function expectHandled(
    at: string,
    rows: readonly RowChange[],
    what: string,
  ): Promise<'unharmed' | 'set-aside'> {
    const before = readFileSync(at);
    const journal = await open(0, at);
    const contents = journal.load();
    if (contents.origin === 'intact') {
      expect({ what, rows: contents.rows }).toEqual({ what, rows });
      return 'unharmed';
    }
    expect({ what, ...contents }).toMatchObject({ what, origin: 'set-aside', rows: [] });
    const aside = readdirSync(join(at, '..')).filter((name) => name.includes('.damaged-1'));
    expect(aside).toContain('underway.db.damaged-1');
    expect(statSync(join(at, '..', 'underway.db.damaged-1')).size).toBeGreaterThanOrEqual(Math.min(before.length, 1));
    journal.commit([row(7)]);
    journal.close();
    expect(ips(await open(0, at))).toEqual(['10.0.1.7']);
    return 'set-aside';
  }

  function flip(file: string, offset: number): void {
    const bytes = readFileSync(file);
    bytes[offset] = (bytes[offset] ?? 0) ^ 0xff;
    writeFileSync(file, bytes);
  }

  test('of the database, at any byte of the header and at many of its pages, is never served', async () => {
    const rows = await killedJournal();
    const size = statSync(path).size;
    const offsets = [
      0,
      17,
      18,
      28,
      44,
      56,
      96,
      ...Array.from({ length: 60 }, (_, n) => 100 + n * Math.floor(size / 61)),
    ];
    const seen = new Set<string>();
    for (const offset of offsets) {
      const copy = copyOf(path);
      flip(copy, offset);
      seen.add(await expectHandled(copy, rows, `byte ${offset} of ${size}`));
    }
    expect(seen).toContain('set-aside');
  }, 60_000);

  test('of the log, in its header and in any frame, is never served as if those commits had not been', async () => {
    const rows = await killedJournal();
    const size = statSync(`${path}-wal`).size;
    const header = Array.from({ length: 32 }, (_, n) => n);
    const frame = 4096 + 24;
    const last = size - frame;
    const inFrames = [0, 4, 8, 12, 16, 20, 24, 2000].flatMap((n) => [32 + n, 32 + 5 * frame + n, last + n]);
    for (const offset of [...header, ...inFrames]) {
      const copy = copyOf(path);
      flip(`${copy}-wal`, offset);
      const verdict = await expectHandled(copy, rows, `byte ${offset} of ${size} in the log`);
      expect(`${offset} ${verdict}`).toBe(`${offset} set-aside`);
    }
  }, 60_000);

  test('by cutting the database anywhere', async () => {
    const rows = await killedJournal();
    for (const left of [512, 1000, 4095, 4096, 9000, statSync(path).size - 1, statSync(path).size - 4096]) {
      const copy = copyOf(path);
      truncateSync(copy, left);
      await expectHandled(copy, rows, `cut to ${left}`);
    }
  }, 30_000);

  test('a log torn at its end, as a killed process leaves it, is no damage: what was acknowledged is there', async () => {
    await killedJournal();
    const copy = copyOf(path);
    truncateSync(`${copy}-wal`, statSync(`${copy}-wal`).size - 1000);
    const journal = await open(0, copy);
    expect(journal.load().origin).toBe('intact');
  });

  test('a log whose database is gone or empty is kept and not replayed', async () => {
    await killedJournal();
    for (const harm of [
      (at: string) => rmSync(at),
      (at: string) => truncateSync(at, 0),
      (at: string) => truncateSync(at, 1),
    ]) {
      const copy = copyOf(path);
      harm(copy);
      const journal = await open(0, copy);
      expect(journal.load()).toMatchObject({ rows: [], origin: 'fresh' });
      expect(readdirSync(join(copy, '..'))).toContain('underway.db.orphan-1-wal');
    }
  });

  test('text that is no database at all, twice', async () => {
    for (const n of [1, 2]) {
      writeFileSync(path, 'this is no database, whatever its name says '.repeat(100));
      const journal = await open();
      expect(journal.load()).toMatchObject({ rows: [], origin: 'set-aside' });
      expect(readFileSync(`${path}.damaged-${n}`, 'utf8')).toContain('no database');
      journal.close();
    }
  });
});

test("another instance's journal gets another name and stays readable there", async () => {
  const journal = await open();
  journal.commit([row(1)]);
  const aside = journal.setAside('other-instance');
  expect(aside).toBe(`${path}.other-instance-1`);
  expect(journal.load().rows).toEqual([]);
  journal.commit([row(2)]);
  journal.close();
  expect(ips(await open())).toEqual(['10.0.1.2']);
  expect(ips(await open(0, aside))).toEqual(['10.0.1.1']);
});

(canMount() ? describe : describe.skip)('a full disk (a small tmpfs: needs root)', () => {
  test('fails the commit, keeps what was acknowledged, and goes on when there is space', async () => {
    const disk = mkdtempSync(join(tmpdir(), 'underway-disk-'));
    mountDisk(disk, '512k');
    try {
      const at = join(disk, 'underway.db');
      const journal = await open(0, at);
      let acknowledged = 0;
      expect(() => {
        for (; acknowledged < 10_000; acknowledged++)
          journal.commit([{ table: 'lease', key: `l${acknowledged}`, row: 'x'.repeat(900) }]);
      }).toThrow(/full|I\/O/);
      expect(acknowledged).toBeGreaterThan(10);
      expect(() => journal.commit([{ table: 'lease', key: 'more', row: 'x'.repeat(9_000) }])).toThrow();
      resizeDisk(disk, '4m');
      journal.commit([{ table: 'lease', key: 'after', row: 1 }]);
      journal.close();
      const { rows, origin } = (await open(0, at)).load();
      expect(origin).toBe('intact');
      expect(rows).toHaveLength(acknowledged + 1);
    } finally {
      for (const journal of opened) journal.close();
      unmountDisk(disk);
      rmSync(disk, { recursive: true, force: true });
    }
  });
});
