/**
 * EC2's filters over the very elements that are answered: a filter is a name and a path into a row, so what a client
 * filters by is what it would see. Filters are joined by "and", the values of one by "or".
 * Source: EC2 User Guide, "Filter your resources": values are case-sensitive, `*` is any text, `?` any character, and a
 * backslash takes their meaning away.
 */
import { Ec2Error, invalidValue } from './ec2-error.ts';
import { list, need, structure, text } from './fields.ts';
import type { Content } from './xml.ts';

export interface FilterTable {
  /** Filter name to path, such as `attachment.instance-id` to `attachment.instanceId`; sets on the way are all looked at. */
  readonly paths: Readonly<Record<string, string>>;
  /** Where the row's tags are, for `tag:<key>` and `tag-key`; the row is one itself where it is empty. */
  readonly tagSet?: string;
}

export interface Filter {
  readonly Name: string;
  readonly Value: readonly string[];
}

/** EC2 User Guide: up to 50 filters and 200 values in a request. */
const FILTER_COUNT_MAX = 50;
const VALUE_COUNT_MAX = 200;

export const filterParameter = list(structure({ Name: need(text()), Value: list(text()) }));

/** Which rows pass. `InvalidParameterValue` for a filter that the action does not have. */
export function compileFilters(filters: readonly Filter[], table: FilterTable): (row: Content) => boolean {
  const valueCount = filters.reduce((sum, { Value }) => sum + Value.length, 0);
  if (filters.length > FILTER_COUNT_MAX || valueCount > VALUE_COUNT_MAX)
    throw new Ec2Error('FilterLimitExceeded', 'The maximum number of filters or filter values has been exceeded');
  const tests = filters.map((filter) => compile(filter, table));
  return (row) => tests.every((passes) => passes(row));
}

function compile({ Name, Value }: Filter, { paths, tagSet }: FilterTable): (row: Content) => boolean {
  if (Value.length === 0) throw invalidValue(`The filter '${Name}' has no value`);
  const patterns = Value.map(patternOf);
  const isMatch = (value: string) => patterns.some((pattern) => pattern.test(value));
  if (tagSet !== undefined && Name.startsWith('tag:')) {
    const key = Name.slice('tag:'.length);
    return (row) =>
      contentsAt(row, tagSet).some((tag) => valuesAt(tag, 'key').includes(key) && valuesAt(tag, 'value').some(isMatch));
  }
  const path =
    tagSet !== undefined && Name === 'tag-key' ? `${tagSet}.key` : Object.hasOwn(paths, Name) ? paths[Name] : undefined;
  if (path === undefined) throw invalidValue(`The filter '${Name}' is invalid`);
  return (row) => valuesAt(row, path).some(isMatch);
}

function patternOf(value: string): RegExp {
  const source = value.replace(/\\([*?\\])|([*?])|./gs, (match, escaped?: string, wild?: string) =>
    wild === '*' ? '.*' : wild === '?' ? '.' : (escaped ?? match).replace(/[.*+?^${}()|[\]\\/]/g, '\\$&'),
  );
  return new RegExp(`^${source}$`, 's');
}

/** The texts at a path, as they would be written. */
export function valuesAt(content: Content, path: string): string[] {
  return contentsAt(content, path).flatMap((value) => {
    if (typeof value !== 'object') return value === undefined ? [] : [String(value)];
    return value instanceof Date ? [value.toISOString()] : [];
  });
}

function contentsAt(content: Content, path: string): Content[] {
  let found: Content[] = [content].flat() as Content[];
  for (const name of path === '' ? [] : path.split('.')) {
    found = found.flatMap((each) => {
      if (typeof each !== 'object' || each instanceof Date || Array.isArray(each)) return [];
      return [(each as { readonly [name: string]: Content })[name]].flat() as Content[];
    });
  }
  return found.filter((each) => each !== undefined);
}
