/** What found a mutation first, of each kind; nothing where it went unseen. */
export interface Catch {
  /** How many seeds it took. */
  readonly seeds?: number;
  /** The row of the resume table, the story or the small world that shows it. */
  readonly story?: string;
  readonly breach?: string;
}
