/** Every Describe action alike: ids, filters and pages over rows of elements. */
import type { ApiAction } from '../../../providers/memory/api.ts';
import { type Action, action } from './action.ts';
import { type Field, type Fields, flag, type Input, integer, list, text } from './fields.ts';
import { compileFilters, type Filter, type FilterTable, filterParameter, valuesAt } from './filters.ts';
import type { Row } from './pages.ts';
import type { Session } from './session.ts';
import type { Content } from './xml.ts';

interface Describe<Id extends string> {
  readonly is: ApiAction;
  /** The element that holds the rows. */
  readonly set: string;
  /** Path of what names a row; several where one is not enough. Rows are answered in its order. */
  readonly key: readonly string[];
  /** The parameter that takes ids, if it has one, and whether it excludes paging. */
  readonly ids?: { readonly name: string; readonly of: Field<Id | undefined>; readonly excludesPages?: true };
  readonly filters: FilterTable;
  /** The largest page; absent where the action has none. */
  readonly pageMax?: number;
  /** Parameters of this action only; `rows` gets them. */
  readonly also?: Fields;
  /** All of them, or those of these ids, all of which must exist. */
  rows(session: Session, ids: readonly Id[] | undefined, input: Input<Fields>): Promise<readonly Content[]>;
}

/** EC2 API reference: every paged Describe action takes at least 5. */
const PAGE_MIN = 5;

const paging = (max: number) => ({ MaxResults: integer({ min: PAGE_MIN, max }), NextToken: text() });

/** What the parameters that all Describe actions share read as. */
interface Asked {
  readonly Filter: readonly Filter[];
  readonly MaxResults?: number | undefined;
  readonly NextToken?: string | undefined;
}

export function describe<Id extends string>(name: string, spec: Describe<Id>): Action {
  const { ids, pageMax, also } = spec;
  const parameters: Fields = {
    DryRun: flag(),
    Filter: filterParameter,
    ...(pageMax === undefined ? {} : paging(pageMax)),
    ...(ids === undefined ? {} : { [ids.name]: list(ids.of) }),
    ...also,
  };
  return action({
    parameters,
    exclusive: ids?.excludesPages === true ? [[ids.name, 'MaxResults']] : [],
    is: spec.is,
    async handle(input, session) {
      const { Filter, MaxResults: max, NextToken: token } = input as unknown as Asked;
      const named = ids === undefined ? [] : (input[ids.name] as readonly Id[]);
      const passes = compileFilters(Filter, spec.filters);
      const contents = await spec.rows(session, named.length === 0 ? undefined : [...new Set(named)], input);
      const rows = contents.filter(passes).map((content): Row => ({ key: keyOf(content, spec.key), content }));
      const scope = JSON.stringify([name, named, Filter]);
      const page = session.pages.cut(rows, { scope, max, token });
      return { [spec.set]: page.rows.map(({ content }) => content), nextToken: page.nextToken };
    },
  });
}

/** No id, key or value of EC2's holds a NUL. */
const keyOf = (content: Content, paths: readonly string[]): string =>
  paths.map((path) => valuesAt(content, path)[0] ?? '').join('\0');
