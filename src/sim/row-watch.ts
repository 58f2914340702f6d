/**
 * Every change of a row, as a batch commits it: what the trace shows and coverage counts. It listens where a
 * transaction writes, so it sees what a row went through within one step; what was undone was never committed.
 */
import type { Rows, Table } from '../core/rows.ts';
import type { State } from '../core/state.ts';

export interface RowChange {
  readonly table: Table;
  readonly key: string;
  readonly before: Rows[Table] | undefined;
  readonly after: Rows[Table] | undefined;
}

export class RowWatch {
  private changes: RowChange[] = [];
  /** Called before a row is replaced. */
  private readonly before: (state: State, table: Table, key: string, after: Rows[Table] | undefined) => void;

  constructor(before: RowWatch['before']) {
    this.before = before;
  }

  /** Follows a process's state from now on; what it inherited from the journal was no change. */
  follow(state: State): void {
    this.changes = [];
    const replace = state.replace.bind(state);
    state.replace = (table, key, after) => {
      this.before(state, table, key, after);
      const before = replace(table, key, after);
      this.changes.push({ table, key, before, after });
      return before;
    };
  }

  /** The batch was undone. */
  forget(): void {
    this.changes = [];
  }

  /** What was committed since the last call. */
  take(): readonly RowChange[] {
    const { changes } = this;
    if (changes.length > 0) this.changes = [];
    return changes;
  }
}
