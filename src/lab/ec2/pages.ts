/**
 * Paging: a token names the last row of its page, so a row that appears or goes between two pages neither repeats nor
 * hides another one.
 *
 * Invariant: a token is taken only by the request it was given for (same action, ids and filters), as EC2 asks for.
 */
import { createHmac, randomBytes } from 'node:crypto';
import { Ec2Error } from './ec2-error.ts';
import type { Content } from './xml.ts';

export interface Row {
  /** Sorts the rows and names this one. */
  readonly key: string;
  readonly content: Content;
}

export interface Page {
  readonly rows: readonly Row[];
  readonly nextToken: string | undefined;
}

const SEAL_LENGTH = 24;

export class Pages {
  readonly #secret = randomBytes(32);

  /** The rows after the token's; all that are left when `max` is undefined. */
  cut(
    rows: readonly Row[],
    {
      scope,
      max,
      token,
    }: { readonly scope: string; readonly max: number | undefined; readonly token?: string | undefined },
  ): Page {
    const after = token === undefined ? undefined : this.#open(token, scope);
    const left = rows
      .filter(({ key }) => after === undefined || key > after)
      .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
    const page = left.slice(0, max);
    const last = page.at(-1);
    const more = last !== undefined && page.length < left.length;
    return { rows: page, nextToken: more ? this.#seal(last.key, scope) : undefined };
  }

  #seal(key: string, scope: string): string {
    const seal = createHmac('sha256', this.#secret)
      .update(JSON.stringify([key, scope]))
      .digest('hex');
    return Buffer.from(`${seal.slice(0, SEAL_LENGTH)}${key}`).toString('base64url');
  }

  #open(token: string, scope: string): string {
    const key = Buffer.from(token, 'base64url').toString().slice(SEAL_LENGTH);
    if (this.#seal(key, scope) === token) return key;
    throw new Ec2Error('InvalidNextToken', 'The specified token is not valid');
  }
}
