/** The core's rows as JSON, for people and the lab (`GET /v1/state`) and for breach files. */
import { type State, TABLES } from '../core/state.ts';

/** Rows by table, in order of insertion. */
export const stateJson = (state: State): Readonly<Record<string, readonly unknown[]>> =>
  Object.fromEntries(TABLES.map((table) => [table, [...state.all(table)]]));
