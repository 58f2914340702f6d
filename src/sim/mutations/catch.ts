/** What found a mutation first, of each kind; nothing where it went unseen. */
export interface Catch {
  /** The first that finds it, from 1. */
  readonly seed?: number;
  /** The row of the resume table, the story or the small world that shows it. */
  readonly story?: string;
  readonly breach?: string;
}
