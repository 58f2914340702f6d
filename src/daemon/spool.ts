/**
 * DELs that the shim wrote down while no daemon listened: `<stateDir>/del/<containerID>@<ifname>@<digest>.json`, the
 * envelope as it would have come over the socket.
 *
 * Invariants: a file goes only after the core answered `done`; one that cannot be understood gets another name. A DEL
 * ends what there was when it was written, not what the same container was given since.
 */
import { lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Reply } from '../core/events.ts';
import type { Clock } from '../ports/clock.ts';
import { type CniRequest, ENVELOPE_BYTES_MAX, parseRequest } from '../protocol/request.ts';

/** Files taken in one scan; the next one takes the rest. */
const FILES_A_SCAN_MAX = 1_000;
/** The shim writes one in milliseconds; a draft that is older was left by one that was killed. */
const DRAFT_AGE_MAX_MS = 600_000;
/** Each may be a DEL that was lost, for a person to look at; the newest stay. */
const UNREADABLE_COUNT_MAX = 16;
const UNREADABLE = '.unreadable';

export interface SpoolOptions {
  readonly stateDir: string;
  readonly clock: Clock;
  readonly replay: (request: CniRequest, askedMs: number) => Promise<Reply>;
  readonly log: (file: string, outcome: 'replayed' | 'unreadable' | 'refused' | 'stuck', detail?: string) => void;
}

export class Spool {
  private readonly folder: string;
  private readonly options: SpoolOptions;
  /** Files whose DEL is under way. */
  private readonly busy = new Set<string>();

  constructor(options: SpoolOptions) {
    this.options = options;
    this.folder = join(options.stateDir, 'del');
    mkdirSync(this.folder, { recursive: true, mode: 0o700 });
  }

  /** Before the first ADD is served: all of them, however many. */
  replay(): void {
    this.tidy();
    for (const name of this.names()) this.guarded(name, () => this.take(name));
  }

  /** Later: what the shim wrote in the moment in which the daemon came up, and what was refused. */
  scan(): void {
    const names = this.names().filter((name) => !this.busy.has(name));
    for (const name of names.slice(0, FILES_A_SCAN_MAX)) this.guarded(name, () => this.take(name));
  }

  /** Names that begin with a dot were being written when the power went. */
  private names(): string[] {
    return readdirSync(this.folder)
      .filter((name) => name.endsWith('.json') && !name.startsWith('.'))
      .sort();
  }

  private tidy(): void {
    const files = readdirSync(this.folder).flatMap((name) => {
      const stat = lstatSync(join(this.folder, name), { throwIfNoEntry: false });
      return stat?.isFile() ? [{ name, mtimeMs: stat.mtimeMs }] : [];
    });
    const untilMs = this.options.clock.wallMs() - DRAFT_AGE_MAX_MS;
    const drafts = files.filter(({ name, mtimeMs }) => name.startsWith('.') && mtimeMs < untilMs);
    const unreadable = files
      .filter(({ name }) => name.endsWith(UNREADABLE))
      .toSorted((one, other) => other.mtimeMs - one.mtimeMs);
    for (const { name } of [...drafts, ...unreadable.slice(UNREADABLE_COUNT_MAX)])
      this.guarded(name, () => rmSync(join(this.folder, name), { force: true }));
  }

  /** A sick disk, or something in the way: the other files are taken all the same, and this one at the next scan. */
  private guarded(name: string, act: () => void): void {
    try {
      act();
    } catch (error) {
      this.options.log(name, 'stuck', String(error));
    }
  }

  private take(name: string): void {
    const path = join(this.folder, name);
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat === undefined) return;
    const parsed =
      stat.isFile() && stat.size <= ENVELOPE_BYTES_MAX ? parseRequest(readFileSync(path, 'utf8')) : undefined;
    const request = parsed !== undefined && 'request' in parsed ? parsed.request : undefined;
    if (request?.verb !== 'DEL') {
      renameSync(path, `${path}${UNREADABLE}`);
      return this.options.log(
        name,
        'unreadable',
        parsed !== undefined && 'error' in parsed ? parsed.error.msg : 'no DEL',
      );
    }
    this.busy.add(name);
    this.options.replay(request, this.writtenMs(stat)).then((reply) => {
      this.busy.delete(name);
      if (reply.kind === 'refused') return this.options.log(name, 'refused', reply.reason.code);
      this.guarded(name, () => {
        // The shim may have replaced the file by a newer DEL of the same attachment: that one is for the next scan.
        if (statSync(path, { throwIfNoEntry: false })?.ino === stat.ino) unlinkSync(path);
        this.options.log(name, 'replayed');
      });
    });
  }

  /**
   * In monotonic time, by the file's age on the wall clock. Who sets that clock meanwhile makes it seem older, and what
   * came before it is spared until its link goes; or newer, but never newer than now.
   */
  private writtenMs({ mtimeMs }: { readonly mtimeMs: number }): number {
    const { clock } = this.options;
    return clock.nowMs() - Math.max(0, clock.wallMs() - mtimeMs);
  }
}
