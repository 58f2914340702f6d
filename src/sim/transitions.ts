/**
 * Everything that a run of enough seeds has to show: the transitions of each lifecycle (rows.ts names the states, the
 * functions that move a row name the transition), the cloud's failures, the reasons given to pods, and the verdicts on
 * what a new process finds.
 */
export const DECLARED: readonly string[] = [];
