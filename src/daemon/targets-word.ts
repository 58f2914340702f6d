/** What the targets come to on this instance, said in the log when they, or the instance's limits, become known. */
import type { Logger } from 'pino';
import type { Turn } from '../core/turn.ts';
import { type Config, poolsOf } from './config.ts';
import { targetsOf } from './why.ts';

export class TargetsWord {
  private readonly log: Logger;
  private isSaid = false;

  constructor(log: Logger) {
    this.log = log;
  }

  changed(): void {
    this.isSaid = false;
  }

  /** Once. Targets that cannot be met hold no node up: it holds what it can. */
  say(reading: () => Turn): void {
    if (this.isSaid) return;
    const turn = reading();
    const verdicts = targetsOf(turn);
    this.isSaid = verdicts.size > 0;
    for (const [pool, verdict] of verdicts) {
      const targets = turn.state.get('pool', pool)?.targets;
      const { log } = this;
      if (!verdict.accepted) log.error({ pool, targets, why: verdict.sentence }, 'targets cannot be met');
      else log.info({ pool, targets, effect: verdict.sentence }, 'targets');
      if (verdict.accepted) for (const why of verdict.warnings) log.warn({ pool, targets, why }, 'targets');
    }
  }
}

/** Why the new targets cannot be met on this instance; undefined where they can, or its limits are not known yet. */
export function refusedTargets(turn: Turn, next: Config): string | undefined {
  const verdicts = [...targetsOf(turn, poolsOf(next)).values()];
  return verdicts.find((verdict) => !verdict.accepted)?.sentence;
}
