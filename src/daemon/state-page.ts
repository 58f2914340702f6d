/** The core's rows as JSON, for people and the lab (`GET /v1/state`) and for breach files. */
import type { Table } from '../core/rows.ts';
import type { State } from '../core/state.ts';

const TABLES: readonly Table[] = [
  'node',
  'runtime',
  'pool',
  'subnet',
  'eni',
  'block',
  'address',
  'lease',
  'waiter',
  'operation',
  'sighting',
  'deadLink',
  'link',
  'failure',
  'budget',
];

/** Rows by table, in order of insertion. */
export const stateJson = (state: State): Readonly<Record<string, readonly unknown[]>> =>
  Object.fromEntries(TABLES.map((table) => [table, [...state.all(table)]]));
