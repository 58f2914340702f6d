/**
 * What makes a runtime call us, where the configuration says that it is the daemon's to put there: the CNI binary, when the
 * daemon starts, and the network's configuration list, once it can serve: a runtime that finds one sends pods.
 *
 * Invariants: the list is written at most once a process, after the binary, and never taken away: without it a runtime can
 * not even end its pods, and STATUS says when none can be added. A binary that somebody removed (a package manager that
 * takes /opt/cni/bin for its own) is put back; the list is not before the next start, since that is how a person takes a
 * node out.
 */
import type { Logger } from 'pino';
import { isBinaryThere, ownBinary, placeBinary } from '../install/binary.ts';
import { placeConflist } from '../install/conflist.ts';
import type { Placed } from '../install/place.ts';
import type { Config } from './config.ts';

export class Installation {
  private readonly config: Config;
  private readonly log: Logger;
  private isListed = false;
  /** What could not be written, as sentences. */
  private readonly faults = new Map<'binary' | 'list', string>();

  constructor({ config, log }: { readonly config: Config; readonly log: Logger }) {
    this.config = config;
    this.log = log;
  }

  /** Why a runtime does not find us, as a sentence. */
  get missing(): string | undefined {
    return this.faults.get('binary') ?? this.faults.get('list');
  }

  /** At the start also a newer binary is put there; later only one that is missing. */
  keepBinary({ isStart }: { readonly isStart: boolean }): void {
    const { socket, stateDir, cni } = this.config;
    const { binDir } = cni;
    if (binDir === null || (!isStart && isBinaryThere(binDir) && !this.faults.has('binary'))) return;
    this.attempt('binary', () => placeBinary({ binDir, binary: cni.binary ?? ownBinary(), socket, stateDir }));
  }

  /** The daemon can serve. */
  list(): void {
    const { confDir, binDir, portmap } = this.config.cni;
    if (confDir === null || this.isListed || this.faults.has('binary')) return;
    this.attempt('list', () => {
      const placed = placeConflist({ confDir, binDir, portmap });
      this.isListed = true;
      for (const why of placed.notes) this.log.warn({ why }, 'the network’s configuration list');
      return [placed];
    });
  }

  /** A folder that cannot be written: pods that come are served all the same, and it is tried again. */
  private attempt(what: 'binary' | 'list', place: () => readonly Placed[]): void {
    try {
      for (const { path, outcome } of place()) if (outcome === 'written') this.log.info({ path }, 'installed');
      this.faults.delete(what);
    } catch (error) {
      const why = Error.isError(error) ? error.message : String(error);
      if (why !== this.faults.get(what)) this.log.error({ why }, 'a runtime does not find this network plugin');
      this.faults.set(what, why);
    }
  }
}
